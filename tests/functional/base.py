# SPDX-License-Identifier: Apache-2.0

"""What the functional tests share: a driver, and a private host for it."""

import contextlib
import pathlib
from typing import Any
from typing import ClassVar

import fixtures
from testtools import content

from nova_libvirt_driver import conf
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import libvirtd
from tests import base

# Fast enough for a test, slow enough for a busy machine.
FAST = {
    'keepalive_interval': 1,
    'keepalive_count': 2,
    'connect_timeout': 5,
    'reconnect_interval': 0.2,
    'reconnect_interval_max': 1,
    'service_down_grace': 0.2,
}


class DriverTestCase(base.TestCase):
    """Makes drivers whose ports remember what they are told."""

    def setUp(self) -> None:
        super().setUp()
        conf.register_opts(self.config.conf)
        self.log = self.useFixture(fixtures.FakeLogger())
        self.notifier = fake_ports.RecordingNotifier()
        self.service_state = fake_ports.RecordingServiceState()
        self.listener = fake_ports.RecordingListener()
        self.image_source: ports.ImageSource = ports.NullImages()

    def attachments_of(
            self, instance: instance_spec.Instance) -> ports.Attachments:
        """Return what the service knows of an interrupted instance."""
        return ()

    def attachment_of(
            self, instance: instance_spec.Instance,
            name: str,
            memo: ports.Memo | None) -> ports.Attachment | None:
        """Return what the service knows of an interrupted device."""
        return None

    def make_driver(
            self, uri: str, *, read_only: bool = False,
            **options: Any) -> driver_module.LibvirtDriver:
        """Return a driver that is cleaned up after the test."""
        self.config.config(group='libvirt', connection_uri=uri)
        self.config.config(group='nova_libvirt_driver',
                           **{**FAST, **options})
        driver = driver_module.LibvirtDriver(
            fake_ports.virt_api(
                self.notifier, self.service_state, self.image_source,
                self.attachments_of, attachment=self.attachment_of),
            read_only)
        driver.register_event_listener(self.listener)
        self.addCleanup(driver.cleanup_host, 'here')
        return driver


class PrivateHostTestCase(DriverTestCase):
    """Has one private libvirt host for all tests of the class."""

    host: ClassVar[libvirtd.PrivateHost]
    qemu_settings: ClassVar[dict[str, libvirtd.Setting]] = {}
    libvirtd_settings: ClassVar[dict[str, libvirtd.Setting]] = {}
    virtlogd_settings: ClassVar[dict[str, libvirtd.Setting] | None] = None
    _exit: ClassVar[contextlib.ExitStack]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        with contextlib.ExitStack() as stack:
            cls.host = stack.enter_context(libvirtd.PrivateHost(
                'test', qemu=cls.qemu_settings,
                libvirtd=cls.libvirtd_settings,
                virtlogd=cls.virtlogd_settings))
            cls._exit = stack.pop_all()

    @classmethod
    def tearDownClass(cls) -> None:
        cls._exit.close()
        super().tearDownClass()

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self._tell_crashes, len(self.host.crashes))
        self.addCleanup(self._ensure_daemon)

    def _tell_crashes(self, known: int) -> None:
        new = self.host.crashes[known:]
        if new:
            self.addDetail('crashes of libvirtd',
                           content.text_content('\n'.join(new)))

    def _ensure_daemon(self) -> None:
        for name in self.host.virsh('list', '--name').split():
            # One that is shutting down may be gone by now.
            with contextlib.suppress(libvirtd.HostError):
                self.host.virsh('destroy', name)

    def remove_domains(self) -> None:
        """Remove all guests, however a test has left them."""
        self._ensure_daemon()
        for name in self.host.virsh('list', '--all', '--name').split():
            self.host.virsh('undefine', name, '--managed-save', '--nvram',
                            '--snapshots-metadata')

    def restart_daemon(self) -> None:
        """Start the daemon again and wait until it answers."""
        self.host.start_daemon()
        self.host.wait_ready()

    def start_guest(self, name: str) -> pathlib.Path:
        """Start a transient guest behind the driver's back."""
        return start_guest(self.host, name)


def start_guest(host: libvirtd.PrivateHost, name: str) -> pathlib.Path:
    """Start a transient guest with virsh.

    :returns: the file its serial console is written to
    """
    disk = host.directory / f'{name}.img'
    serial = host.directory / f'{name}.log'
    disk.write_bytes(guests.boot_sector(f'{name} is up'))
    xml = host.directory / f'{name}.xml'
    xml.write_text(guests.boot_guest_xml(name, str(disk), str(serial)))
    host.virsh('create', str(xml))
    return serial
