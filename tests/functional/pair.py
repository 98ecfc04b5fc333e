# SPDX-License-Identifier: Apache-2.0

"""Two private hosts that are joined by a cable, and a driver on each."""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import pathlib
import subprocess
from typing import Any
from typing import ClassVar

import fixtures

from nova_libvirt_driver import conf
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.images import local
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import libvirtd
from tests import base
from tests.functional import guest_base

NAMES = ('one', 'two')
ADDRESSES = ('192.0.2.1', '192.0.2.2')
"""Of the two hosts; an address of theirs is used by nobody else."""

State = instance_spec.PowerState


class Driver(driver_module.LibvirtDriver):
    """A driver that keeps to its host whatever the configuration says."""

    where = ''

    def uri(self) -> str:
        return self.where or super().uri()


class Side:
    """One of the hosts, with its driver.

    The folder of the instances is at the same path on both, as QEMU sees it,
    and elsewhere for everybody else, unless they share it.

    :ivar root: where the folder of the instances is
    """

    def __init__(
            self, host: libvirtd.PrivateHost, address: str,
            instances_path: pathlib.Path) -> None:
        self.host = host
        self.address = address
        self.instances_path = instances_path
        self.driver: driver_module.LibvirtDriver

    def state(
            self, instance: instance_spec.Instance
    ) -> instance_spec.PowerState | None:
        """Return the power state that libvirt tells, None for no guest."""
        with contextlib.suppress(exception.InstanceNotFound):
            return self.driver.get_info(instance, use_cache=False).state
        return None

    def files(self) -> list[str]:
        """Return the files of instances, without cached images."""
        return sorted(
            str(path.relative_to(self.instances_path))
            for path in self.instances_path.rglob('*')
            if path.name[0] != '.' and not path.relative_to(
                self.instances_path).parts[0] in ('_base', '.operations'))

    def notes(self) -> list[str]:
        """Return what is in the journal: operations and their phases."""
        return [f'{note.operation} {note.phase}' for note
                in self.driver._parts.storage.journal.notes()
                if self.driver._parts.storage.journal.is_ours(note)]


class PairTestCase(base.TestCase):
    """Has two hosts, and two drivers in this process.

    :cvar is_shared: they share the folder of the instances
    """

    is_shared: ClassVar[bool] = False
    hosts: ClassVar[list[libvirtd.PrivateHost]]
    _exit: ClassVar[contextlib.ExitStack]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        with contextlib.ExitStack() as stack:
            cls.start_hosts(stack)
            cls._exit = stack.pop_all()

    @classmethod
    def start_hosts(cls, stack: contextlib.ExitStack) -> None:
        """Start the two hosts."""
        cls.hosts = hosts(stack)

    @classmethod
    def tearDownClass(cls) -> None:
        cls._exit.close()
        super().tearDownClass()

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.image_folder = self.useFixture(fixtures.TempDir()).path
        self.images = local.LocalImages(self.image_folder)
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.instances = self.root / 'instances'
        self.instances.mkdir()
        self.homes: dict[str, ports.Home] = {}
        """Where the service says that guests are, for each host."""
        self.addCleanup(self._remove_domains)
        self.source, self.target = (
            self.side(number) for number in range(2))

    def side(self, number: int) -> Side:
        """Return one of the hosts, with a driver that is connected."""
        host, folder = self.hosts[number], self.instances
        if not self.is_shared:
            folder = self.root / f'instances-{host.name}'
            folder.mkdir(exist_ok=True)
        side = Side(host, ADDRESSES[number], folder)
        self.connect(side)
        return side

    def connect(self, side: Side, **options: Any) -> None:
        """Give a host a driver, in the place of the one it may have."""
        driver = self.make_driver(side, **options)
        driver.init_host(side.host.name)
        self.addCleanup(driver.cleanup_host, side.host.name)
        side.driver = driver

    def make_driver(
            self, side: Side, **options: Any) -> driver_module.LibvirtDriver:
        """Return a driver of a host with options of ``[libvirt]``."""
        conf.register_opts(self.config.conf)
        self.config.config(
            host=side.host.name, instances_path=str(side.instances_path))
        self.config.config(group='libvirt', **{
            'connection_uri': side.host.uri, 'virt_type': 'qemu',
            'tb_cache_size': guest_base.TB_CACHE_MIB, **options})
        self.config.config(
            group='nova_libvirt_driver', **guest_base.PATIENT)
        driver = Driver(fake_ports.virt_api(
            images=self.images, attachments=lambda instance: (
                self.attachments(side)),
            home=lambda instance: self.homes.get(side.host.name)))
        driver.where = side.host.uri
        return driver

    def attachments(
            self, side: Side) -> list[fake_attachment.FakeAttachment]:
        """Return what the guest is connected to on a host."""
        return [fake_attachment.FakeAttachment(
            str(self.root / f'port-{side.host.name}'))]

    def _remove_domains(self) -> None:
        for host in self.hosts:
            for name in host.virsh('list', '--all', '--name').split():
                for verb in ('destroy', 'undefine'):
                    with contextlib.suppress(libvirtd.HostError):
                        host.virsh(verb, name)


def hosts(
        stack: contextlib.ExitStack,
        qemu: Callable[[str], Mapping[str, libvirtd.Setting]] = (
            lambda name: {})) -> list[libvirtd.PrivateHost]:
    """Start two hosts that reach each other.

    :param qemu: returns settings of qemu.conf for each of them
    """
    found = [stack.enter_context(libvirtd.PrivateHost(name, qemu=qemu(name)))
             for name in NAMES]
    _join(found)
    return found


def _join(hosts: list[libvirtd.PrivateHost]) -> None:
    """Join the networks of two hosts by a cable."""
    one, two = (host.holder_pid for host in hosts)
    _in_network(one, 'link', 'add', 'cable', 'type', 'veth', 'peer', 'name',
                'cable', 'netns', str(two))
    for pid, address in zip((one, two), ADDRESSES, strict=True):
        _in_network(pid, 'address', 'add', f'{address}/24', 'dev', 'cable')
        _in_network(pid, 'link', 'set', 'cable', 'up')


def _in_network(pid: int | None, *arguments: str) -> None:
    subprocess.run(
        ['nsenter', '--target', str(pid), '--net', 'ip', *arguments],
        check=True, capture_output=True)
