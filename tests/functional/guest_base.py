# SPDX-License-Identifier: Apache-2.0

"""What the tests share that make real guests through the driver."""

from collections.abc import Callable
import functools
import os
import pathlib
import re
import subprocess
import tempfile
from typing import Any
from typing import ClassVar

import fixtures

from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_images
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress
from nova_libvirt_driver.testing import footprint
from nova_libvirt_driver.testing import linux_disk
from nova_libvirt_driver.testing import linux_guest
from nova_libvirt_driver.testing import specs
from tests.functional import base

CONSOLE_TIMEOUT_S = 240.0
"""Longer than a boot takes when others use the machine."""

# Emulated guests keep the machine busy: a late answer is no lost link.
PATIENT: dict[str, Any] = {'keepalive_interval': 2, 'keepalive_count': 10}
TB_CACHE_MIB = 32
SETTLE_TIMEOUT_S = 60.0
_LUKS_TRIES = 20


class GuestTestCase(base.PrivateHostTestCase):
    """Has a driver with folders and images of its own on a private host.

    :cvar own_options: those of the group ``[nova_libvirt_driver]``
    :ivar images: where the driver gets its images from
    :ivar instances_path: folder of the instances
    """

    own_options: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        super().setUp()
        self.instances_path = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path, 'instances')
        self.instances_path.mkdir()
        self.images = fake_images.MemoryImages()
        self.image_source = self.images
        self.addCleanup(self.remove_domains)
        self.driver = self.make_guest_driver()

    def make_guest_driver(
            self, *, uri: str = '', libvirt: dict[str, Any] | None = None,
            **defaults: Any) -> driver_module.LibvirtDriver:
        """Return a driver that is connected; it is ended with the test.

        :param uri: default is that of the private host
        :param libvirt: options of the group ``[libvirt]``
        :param defaults: options of the group ``[DEFAULT]``
        """
        self.config.config(**{
            'instances_path': str(self.instances_path), **defaults})
        self.config.config(group='libvirt', **{
            'virt_type': 'qemu', 'tb_cache_size': TB_CACHE_MIB,
            'wait_soft_reboot_seconds': int(CONSOLE_TIMEOUT_S),
            **(libvirt or {})})
        driver = self.make_driver(
            uri or self.host.uri, **{**PATIENT, **self.own_options})
        driver.init_host('here')
        return driver

    # Guests.

    def boot_guest(
            self, name: str, *, padding: bytes = b'\0',
            **overrides: Any) -> guest_spec.GuestSpec:
        """Return a guest whose image prints ``NAME is up`` and halts.

        :param padding: see :func:`specs.boot_sector_image`
        """
        image = specs.boot_sector_image(
            self.images, f'{name} is up', padding=padding)
        return specs.guest_spec(name, image.id, **overrides)

    def linux_image(
            self, name: str, note: str = '', *,
            usb: bool = False) -> image_spec.Image:
        """Keep an image with Linux, see :func:`linux_disk.write_disk`."""
        return self.images.add(_linux_disk(name, note, usb), name=name)

    def linux_guest(
            self, name: str, image_id: str, **overrides: Any
    ) -> guest_spec.GuestSpec:
        """Return a guest with a disk of such an image."""
        return specs.guest_spec(
            name, image_id, memory_mib=linux_guest.MEMORY_MIB, **overrides)

    def fail_each_step(
            self, verb: Callable[[ports.Progress], object],
            check: Callable[[str], object]) -> int:
        """Let each step of a verb fail; return how many there are."""
        number = 0
        while True:
            number += 1
            progress = fake_progress.FailingProgress(number)
            try:
                verb(progress)
            except fake_progress.Stopped:
                check(progress.steps[-1])
                continue
            return number - 1

    # What is to be seen of one.

    def state(
            self, instance: instance_spec.Instance
    ) -> instance_spec.PowerState:
        """Return the power state that libvirt tells."""
        return self.driver.get_info(instance, use_cache=False).state

    def console(self, instance: instance_spec.Instance) -> str:
        """Return the end of what a guest printed, empty for nothing."""
        try:
            return self.driver.get_console_output(instance).decode(
                errors='replace')
        except exception.ConsoleUnavailable:
            return ''

    def wait_console(
            self, instance: instance_spec.Instance, pattern: str, *,
            timeout_s: float = CONSOLE_TIMEOUT_S) -> re.Match[str]:
        """Wait until a guest has printed something; return the match.

        :param pattern: regular expression; its dot matches line ends, too
        """
        try:
            found: re.Match[str] = fake_ports.wait_until(
                lambda: re.search(pattern, self.console(instance), re.S),
                pattern, timeout_s=timeout_s)
        except AssertionError:
            self.fail(f'not on the console within {timeout_s:g} s: '
                      f'{pattern}\n{self.console(instance)}')
        return found

    def last_tick(self, instance: instance_spec.Instance) -> int:
        """Return the number of the last second that a Linux guest told."""
        ticks = re.findall(r'guest: tick (\d+)\r?\n', self.console(instance))
        return int(ticks[-1]) if ticks else 0

    def wait_tick(self, instance: instance_spec.Instance, above: int) -> None:
        """Wait until a Linux guest has told a later second."""
        fake_ports.wait_until(
            lambda: self.last_tick(instance) > above,
            f'a tick after {above}', timeout_s=CONSOLE_TIMEOUT_S)

    def type_line(
            self, instance: instance_spec.Instance, line: str,
            answer: str) -> None:
        """Type a line into the first serial port of a running guest.

        :param answer: what the guest prints then, see :meth:`wait_console`
        """
        path = self.host.virsh('ttyconsole', instance.name).strip()
        # QEMU looks once a second whether somebody has opened it, and reads
        # nothing of one who has closed it again.
        terminal = os.open(path, os.O_WRONLY | os.O_NOCTTY)
        try:
            os.write(terminal, f'{line}\n'.encode())
            self.wait_console(instance, answer)
        finally:
            os.close(terminal)

    # What is to be seen of the host.

    def look_at_host(self) -> footprint.Footprint:
        """Look at the host.

        Cached images do not count, nor do the two folders in which there
        is something while a verb runs; what is in them does.
        """
        folders = {name: str(self.instances_path / name)
                   for name in ('_base', '.operations', 'snapshots')}
        return footprint.Footprint.take(
            self.host, self.instances_path,
            ignore=(*folders.values(), f'{folders["_base"]}/*'))

    def assert_host_is(self, before: footprint.Footprint) -> None:
        """Fail unless the host is as it was, at once or a moment later."""
        try:
            fake_ports.wait_until(
                lambda: not before.difference(self.look_at_host()),
                'the host as it was', timeout_s=SETTLE_TIMEOUT_S)
        except AssertionError:
            self.fail('the host is not as it was:\n' + '\n'.join(
                before.difference(self.look_at_host())))


def write_luks(image: pathlib.Path) -> bytes:
    """Write an encrypted image of one MiB; return its passphrase.

    QEMU measures how fast the processor is, and gives up where other work
    takes that away from it.
    """
    for _ in range(_LUKS_TRIES):
        done = subprocess.run(
            ['qemu-img', 'create', '-q', '-f', 'luks', '--object',
             'secret,id=s,data=a phrase', '-o', 'key-secret=s,iter-time=10',
             str(image), '1M'], capture_output=True, text=True)
        if 'accurate CPU usage' not in done.stderr:
            break
    if done.returncode:
        raise AssertionError(done.stderr)
    return b'a phrase'


@functools.cache
def _linux_disk(name: str, note: str, usb: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        disk = pathlib.Path(folder, 'disk')
        linux_disk.write_disk(
            disk, linux_guest.build(usb=usb), name=name, note=note)
        return disk.read_bytes()
