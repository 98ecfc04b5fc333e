# SPDX-License-Identifier: Apache-2.0

"""Guests on a disk that has no room left, in every place where it counts."""

from collections.abc import Callable
import pathlib
import shutil
import struct
import subprocess
import tempfile
from typing import ClassVar

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import specs
from tests.functional import guest_base

SNAPSHOT_ID = '5f0c1f0e-6d1f-4a39-9f0c-0f3d5a9d7b11'
DRIVE = configdrive_spec.ConfigDriveSpec(user_data='hello')
KIB, MIB = 1 << 10, 1 << 20

# Instructions of a boot sector, from offset 0x30 on. They write 64 times
# 32 KiB to a disk, every 64 KiB, and go on with what was there at first.
_WRITER = b''.join((
    b'\xfa',              # 30        cli
    b'\xfc',              # 31        cld
    b'\x31\xc0',          # 32        xor ax, ax
    b'\x8e\xd8',          # 34        mov ds, ax
    b'\x8e\xd0',          # 36        mov ss, ax
    b'\xbc\x00\x7c',      # 38        mov sp, 0x7c00
    b'\xb9\x40\x00',      # 3b        mov cx, 64
    b'\xbe\x60\x7c',      # 3e  next: mov si, 0x7c60  ; address packet
    b'\xb8\x00\x43',      # 41        mov ax, 0x4300  ; extended write
    b'\xcd\x13',          # 44        int 0x13        ; disk dl of the BIOS
    b'\x72\x0a',          # 46        jc halt
    b'\x81\x06\x68\x7c\x80\x00',  # 48  add word [0x7c68], 128
    b'\xe2\xee',          # 4e        loop next
    b'\xeb\xb0',          # 50        jmp 0x7c02
    b'\xf4',              # 52  halt: hlt
    b'\xeb\xfd',          # 53        jmp halt
))
_TO_WRITER = b'\xeb\x2e'
_WRITER_OFFSET, _PACKET_OFFSET = 0x30, 0x60
# Its length, 64 sectors, from 0x7c00 in memory, to the disk's sector 2048.
_PACKET = struct.pack('<BBHHHQ', 16, 0, 64, 0x7c00, 0, 2048)
_WRITER_BYTES = 32 * MIB


class FullDiskTest(guest_base.GuestTestCase):
    """The folder of the instances is a small file system of its own.

    A file takes all of its room but for a part that grows with every
    attempt, until the verb finds enough.
    """

    mount: ClassVar[pathlib.Path]

    @classmethod
    def setUpClass(cls) -> None:
        # Before the private host begins: it sees what is mounted then.
        cls.mount = pathlib.Path(tempfile.mkdtemp())
        subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', 'size=8m', 'tmpfs',
             str(cls.mount)], check=True)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        subprocess.run(['umount', str(cls.mount)], check=True)
        cls.mount.rmdir()

    def setUp(self) -> None:
        super().setUp()
        self.ballast = self.mount / 'ballast'
        self.ballast.touch()
        self.addCleanup(self.ballast.unlink)
        self.instances_path = self.mount / 'instances'
        self.instances_path.mkdir()
        self.addCleanup(shutil.rmtree, self.instances_path)
        self.driver = self.make_guest_driver()

    def leave_room(self, size_bytes: int) -> None:
        """Leave so many bytes."""
        self.ballast.unlink()
        subprocess.run(
            ['dd', 'if=/dev/zero', f'of={self.ballast}', 'bs=4k'],
            check=False, capture_output=True)
        with self.ballast.open('r+b') as file:
            file.truncate(max(1, file.seek(0, 2) - size_bytes))

    def each_room(
            self, verb: Callable[[], object], step_bytes: int) -> int:
        """Try a verb with ever more room; return how often it failed."""
        failures = 0
        while True:
            self.leave_room(failures * step_bytes)
            before = self.look_at_host()
            try:
                verb()
            except exception.StorageFailure as error:
                self.assertRegex(str(error), '(?i)room|space')
                self.assert_host_is(before)
                failures += 1
                continue
            return failures

    def check_spawn(self) -> guest_spec.GuestSpec:
        spec = self.boot_guest('web', padding=b'x', config_drive=DRIVE)

        failures = self.each_room(
            lambda: self.driver.spawn(spec), 96 * KIB)

        self.assertGreater(failures, 5)
        self.wait_console(spec, 'web is up')
        return spec

    def test_guest_is_destroyed_without_any_room(self) -> None:
        before = self.look_at_host()
        spec = self.boot_guest('web', config_drive=DRIVE)
        self.driver.spawn(spec)
        self.leave_room(0)

        self.driver.destroy(spec)

        self.assert_host_is(before)

    def test_overlays(self) -> None:
        self.check_spawn()

    def test_raw_disks(self) -> None:
        self.driver = self.make_guest_driver(libvirt={'images_type': 'raw'})

        self.check_spawn()

    def test_small_files_of_a_spawn(self) -> None:
        spec = self.boot_guest('web', config_drive=DRIVE)
        self.driver.cache_image(spec.storage.image_id)

        failures = self.each_room(lambda: self.driver.spawn(spec), 12 * KIB)

        self.assertGreater(failures, 5)

    def test_snapshot_of_a_running_guest(self) -> None:
        spec = self.check_spawn()
        pid = self.host.guest_pid('web')

        failures = self.each_room(
            lambda: self.driver.snapshot(spec, SNAPSHOT_ID), 64 * KIB)

        self.assertGreater(failures, 2)
        self.assertIs(instance_spec.PowerState.RUNNING, self.state(spec))
        self.assertEqual(pid, self.host.guest_pid('web'))

    def test_snapshot_of_a_stopped_guest(self) -> None:
        spec = self.check_spawn()
        self.driver.power_off(spec)

        failures = self.each_room(
            lambda: self.driver.snapshot(spec, SNAPSHOT_ID), 16 * KIB)

        self.assertGreater(failures, 2)

    def test_rescue_of_a_running_guest(self) -> None:
        spec = self.check_spawn()

        failures = self.each_room(
            lambda: self.driver.rescue(spec, spec.storage.image_id),
            32 * KIB)

        self.assertGreater(failures, 5)
        self.driver.unrescue(spec)
        self.wait_console(spec, 'web is up')

    def check_guest_that_writes(self) -> None:
        logged = self.useFixture(
            fixtures.FakeLogger(format='%(levelname)s %(message)s'))
        image = self.images.add(_writer('web is up'))
        spec = specs.guest_spec('web', image.id)
        self.leave_room(MIB)
        self.driver.spawn(spec)
        fake_ports.wait_until(
            lambda: self.status() == 'paused by an I/O error', 'the pause',
            timeout_s=guest_base.CONSOLE_TIMEOUT_S)
        fake_ports.wait_until(
            lambda: 'QEMU paused the guest' in logged.output, 'the warning')
        self.assertRegex(
            logged.output, r'(?m)^WARNING Guest web: Disk .*/disk failed '
            r'\(enospc\), and QEMU paused the guest: make room')
        kept = self.driver.get_diagnostics(spec).last_disk_error
        assert kept is not None
        self.assertEqual(('pause', 'enospc'), (kept.action, kept.reason))
        self.assertTrue(kept.path.endswith('/disk'), kept.path)

        error = self.assertRaises(
            exception.WrongState, self.driver.unpause, spec)

        self.assertIn('disk vda has no room', str(error))
        self.assertIn('make room', error.next_step)
        self.assertEqual('paused by an I/O error', self.status())
        self.leave_room(7 * MIB)

        self.driver.unpause(spec)

        self.wait_console(spec, 'web is up')
        self.assertEqual('running', self.status())

    def status(self) -> str:
        [row] = self.driver.list_instance_summaries()
        return row.status

    def test_guest_that_writes_to_an_overlay(self) -> None:
        self.check_guest_that_writes()

    def test_guest_that_writes_to_a_raw_disk(self) -> None:
        self.driver = self.make_guest_driver(libvirt={'images_type': 'raw'})

        self.check_guest_that_writes()


def _writer(message: str) -> bytes:
    """Return a disk whose guest writes 2 MiB to it, then its message."""
    disk = bytearray(guests.boot_sector(message).ljust(_WRITER_BYTES, b'\0'))
    for offset, part in ((0, _TO_WRITER), (_WRITER_OFFSET, _WRITER),
                         (_PACKET_OFFSET, _PACKET)):
        disk[offset:offset + len(part)] = part
    return bytes(disk)
