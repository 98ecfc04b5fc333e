# SPDX-License-Identifier: Apache-2.0

import os
import pathlib
import struct
import subprocess

import fixtures

from nova_libvirt_driver.testing import debian_kernel
from nova_libvirt_driver.testing import linux_disk
from nova_libvirt_driver.testing import linux_guest
from nova_libvirt_driver.testing import linux_init
from tests import base


class FolderTestCase(base.TestCase):
    """Has a folder."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def leave_no_programs(self) -> None:
        self.useFixture(
            fixtures.EnvironmentVariable('PATH', str(self.folder)))


class KernelTest(FolderTestCase):
    """The order in which modules are loaded."""

    def kernel(self, **modules: str) -> debian_kernel.Kernel:
        for name, needed in modules.items():
            folder = self.folder / 'kernel' / name
            folder.mkdir(parents=True)
            (folder / f'{name}.ko').write_bytes(
                b'\x7fELF\0license=GPL\0depends=%s\0' % needed.encode())
        return debian_kernel.Kernel(
            image=self.folder / 'vmlinuz', modules=self.folder)

    def test_what_a_module_needs_comes_first_and_once(self) -> None:
        kernel = self.kernel(blk='pci,ring', net='ring', pci='ring', ring='')

        files = kernel.module_files(['net', 'blk'])

        self.assertEqual(['ring', 'net', 'pci', 'blk'],
                         [path.stem for path in files])

    def test_module_that_is_missing_is_named(self) -> None:
        kernel = self.kernel(blk='gone')

        self.assertRaisesRegex(
            debian_kernel.KernelUnavailable, 'no module gone',
            kernel.module_files, ['blk'])

    def test_machine_without_apt_is_told(self) -> None:
        self.leave_no_programs()

        self.assertRaisesRegex(
            debian_kernel.KernelUnavailable, 'needs apt-cache',
            debian_kernel.fetch, self.folder)


class LinuxGuestTest(FolderTestCase):
    """The guest as files; a functional test boots it."""

    def test_guest_that_is_there_is_not_made_again(self) -> None:
        self.leave_no_programs()
        kept = self.folder / 'guest'
        kept.mkdir()

        guest = linux_guest.build(kept)

        self.assertEqual(kept / 'vmlinuz', guest.kernel)
        self.assertEqual(kept / 'initrd', guest.initrd)

    def test_missing_program_is_named_and_nothing_is_left(self) -> None:
        self.leave_no_programs()

        self.assertRaisesRegex(
            linux_guest.GuestUnavailable, 'busybox-static and cpio',
            linux_guest.build, self.folder / 'guest')

        self.assertEqual(['guest.lock'], os.listdir(self.folder))

    def test_cache_does_not_move_with_the_home_of_a_test(self) -> None:
        self.useFixture(fixtures.EnvironmentVariable('HOME', '/nowhere'))
        self.useFixture(fixtures.EnvironmentVariable('XDG_CACHE_HOME', None))

        folder = linux_guest.default_folder()

        self.assertNotIn('nowhere', str(folder))
        self.assertRegex(folder.name, 'linux-guest-[0-9a-f]{12}')

    def test_script_can_be_read_by_the_shell(self) -> None:
        checked = subprocess.run(
            ['busybox', 'sh', '-n'], input=linux_init.script(), text=True,
            capture_output=True, check=False)

        self.assertEqual('', checked.stderr)
        self.assertEqual(0, checked.returncode)


class DiskTest(FolderTestCase):
    """The bootable disk as bytes."""

    def setUp(self) -> None:
        super().setUp()
        self.disk = self.folder / 'disk'
        self.guest = linux_guest.LinuxGuest(
            self.folder / 'vmlinuz', self.folder / 'initrd')
        self.guest.kernel.write_bytes(b'kernel')
        self.guest.initrd.write_bytes(b'initrd')

    def test_first_partition_is_active_and_ends_with_the_disk(self) -> None:
        linux_disk.write_disk(self.disk, self.guest)

        entry = self.disk.read_bytes()[446:462]
        active, kind, start, sectors = struct.unpack('<B3xB3xII', entry)
        self.assertEqual((0x80, 0x0e), (active, kind))
        self.assertEqual(self.disk.stat().st_size, (start + sectors) * 512)

    def test_partition_holds_kernel_and_settings(self) -> None:
        linux_disk.write_disk(self.disk, self.guest, name='rescue')

        settings = subprocess.run(
            ['mtype', '-i', f'{self.disk}@@1M', '::syslinux.cfg'],
            capture_output=True, text=True, check=True).stdout
        self.assertIn('KERNEL /vmlinuz', settings)
        self.assertIn('guest.image=rescue\n', settings)

    def test_note_stands_where_the_guest_looks(self) -> None:
        linux_disk.write_disk(self.disk, self.guest, note='hello')

        offset = (linux_init.STATE_SECTOR + 1) * 512
        self.assertEqual(
            b'hello\0', self.disk.read_bytes()[offset:offset + 6])

    def test_missing_program_is_named_with_its_package(self) -> None:
        self.leave_no_programs()

        self.assertRaisesRegex(
            linux_guest.GuestUnavailable, 'needs mformat: .* mtools',
            linux_disk.write_disk, self.disk, self.guest)

        self.assertFalse(self.disk.exists())
