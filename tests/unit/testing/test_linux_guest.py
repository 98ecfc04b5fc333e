# SPDX-License-Identifier: Apache-2.0

import lzma
import os
import pathlib
import struct
import subprocess
import sys

import fixtures

from nova_libvirt_driver.testing import debian_kernel
from nova_libvirt_driver.testing import linux_disk
from nova_libvirt_driver.testing import linux_guest
from nova_libvirt_driver.testing import linux_init
from tests import base


# A package manager without lists of packages until it has been told to
# fetch them.
APT_CACHE = r'''#!/bin/sh
here=$(dirname "$0")
[ -e "$here/lists" ] && echo "  Depends: linux-image-6.1"
exit 0
'''
APT_GET = r'''#!/bin/sh
here=$(dirname "$0")
echo "$3 $4" >>"$here/log"
case $3 in
update) touch "$here/lists";;
download) touch "$4.deb";;
esac
'''
DPKG = r'''#!/bin/sh
mkdir -p "$3/boot" "$3/lib/modules/6.1"
echo kernel >"$3/boot/vmlinuz-6.1"
for name in MODULES; do echo "$name" >"$3/lib/modules/6.1/$name.ko"; done
'''.replace('MODULES', ' '.join(linux_init.MODULES))

BUILDER = '''
import pathlib, sys
from nova_libvirt_driver.testing import linux_guest
print(linux_guest.build(pathlib.Path(sys.argv[1])).kernel)
'''


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

    def test_compressed_modules_are_unpacked(self) -> None:
        kernel = self.kernel(blk='ring', ring='')
        for path in list(self.folder.rglob('*.ko')):
            path.with_suffix('.ko.xz').write_bytes(
                lzma.compress(path.read_bytes()))
            path.unlink()

        files = kernel.module_files(['blk'])

        self.assertEqual(['ring.ko', 'blk.ko'], [path.name for path in files])
        self.assertEqual(b'\x7fELF', files[0].read_bytes()[:4])

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


class BuildTest(FolderTestCase):
    """The guest made of a package that a stand-in for apt delivers."""

    def setUp(self) -> None:
        super().setUp()
        self.programs = self.folder / 'programs'
        self.programs.mkdir()
        for name, text in (('apt-cache', APT_CACHE), ('apt-get', APT_GET),
                           ('dpkg', DPKG)):
            (self.programs / name).write_text(text)
            (self.programs / name).chmod(0o755)
        self.useFixture(fixtures.EnvironmentVariable(
            'PATH', f'{self.programs}:{os.environ["PATH"]}'))
        self.target = self.folder / 'kept' / 'guest'

    def move_modules(self, folder: str) -> None:
        path = self.programs / 'dpkg'
        path.write_text(path.read_text().replace('lib/modules', folder))

    def log(self) -> list[str]:
        return (self.programs / 'log').read_text().splitlines()

    def test_lists_are_fetched_when_there_are_none(self) -> None:
        linux_guest.build(self.target)

        self.assertEqual(
            ['update ', 'download linux-image-6.1'], self.log())

    def test_initial_file_system_has_what_the_script_needs(self) -> None:
        guest = linux_guest.build(self.target)

        listing = subprocess.run(
            ['cpio', '--list', '--quiet'], input=guest.initrd.read_bytes(),
            capture_output=True, check=True).stdout.decode().split()
        for name in ('init', 'bin/busybox', 'modules/order', 'dev',
                     'modules/virtio_blk.ko'):
            self.assertIn(name, listing)
        self.assertEqual('kernel\n', guest.kernel.read_text())

    def test_modules_may_be_below_usr(self) -> None:
        self.move_modules('usr/lib/modules')

        guest = linux_guest.build(self.target)

        self.assertIn(b'virtio_blk.ko', guest.initrd.read_bytes())

    def test_a_package_without_modules_is_told(self) -> None:
        self.move_modules('elsewhere')

        self.assertRaisesRegex(
            linux_guest.GuestUnavailable, 'no modules', linux_guest.build,
            self.target)

    def test_processes_that_want_it_at_a_time_make_it_once(self) -> None:
        argv = [sys.executable, '-c', BUILDER, str(self.target)]
        builders = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
                    for _ in range(3)]

        said = [builder.communicate()[0] for builder in builders]

        self.assertEqual([f'{self.target}/vmlinuz\n'] * 3, said)
        self.assertEqual(1, self.log().count('download linux-image-6.1'))
        self.assertEqual({'guest', 'guest.lock'},
                         set(os.listdir(self.target.parent)))

    def test_failed_download_leaves_nothing(self) -> None:
        (self.programs / 'apt-get').write_text(
            '#!/bin/sh\necho no network >&2\nexit 100\n')

        self.assertRaisesRegex(
            linux_guest.GuestUnavailable, 'no network', linux_guest.build,
            self.target)

        self.assertEqual(['guest.lock'], os.listdir(self.target.parent))


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

    def read(self, name: str) -> str:
        return subprocess.run(
            ['mtype', '-i', f'{self.disk}@@1M', f'::{name}'],
            capture_output=True, text=True, check=True).stdout

    def test_both_firmwares_find_the_kernel_and_its_arguments(self) -> None:
        linux_disk.write_disk(self.disk, self.guest, name='rescue')

        self.assertEqual(('kernel', 'initrd'),
                         (self.read('vmlinuz'), self.read('initrd')))
        for name, command in (('syslinux.cfg', 'KERNEL /vmlinuz'),
                              ('startup.nsh', '\\vmlinuz initrd=\\initrd ')):
            self.assertIn(command, self.read(name))
            self.assertIn('guest.image=rescue', self.read(name))

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
