# SPDX-License-Identifier: Apache-2.0

import contextlib
import json
import os
import pathlib
import shutil
import stat
import subprocess

import fixtures
import psutil

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import disks as disks_module
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import qemu_img
from nova_libvirt_driver.storage import record
from nova_libvirt_driver.storage import tool
from nova_libvirt_driver.testing import fake_progress
from tests import base

MIB, GIB = 1 << 20, 1 << 30
UUID = '5b2d9d6f-6f4f-4b5c-8f2c-3f2a4f4c8f11'


class DisksTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.folder = folder_module.InstanceFolder(self.root, UUID)
        self.folder.create()
        path = os.path.join(self.root, 'base')
        pathlib.Path(path).write_bytes(os.urandom(MIB))
        self.cached = image_spec.CachedImage(
            path, image_spec.DiskFormat.RAW, MIB)
        self.disks = self._disks('qcow2')

    def _disks(self, backend: str, **fields: int) -> disks_module.Disks:
        policy = policy_spec.StoragePolicy(
            instances_path=self.root, **fields,  # type: ignore[arg-type]
            backend=policy_spec.ImageBackend(backend))
        runner = tool.Tool(policy)
        return disks_module.Disks(
            policy, qemu_img.QemuImg(runner, policy), runner)

    def _look(self, path: str) -> tuple[int, str, str]:
        """Return the size, format and backing file of a recorded disk."""
        format = record.read(self.folder.disk_info, path)
        found = json.loads(subprocess.check_output([
            'qemu-img', 'info', '-f', format, '--output=json', path]))
        return (found['virtual-size'], format,
                found.get('backing-filename', ''))

    def assertNothingMade(self) -> None:
        self.assertEqual([], os.listdir(self.folder.path))

    def test_a_root_disk_over_its_image(self) -> None:
        self.disks.make_root(self.folder, self.cached, GIB)

        self.assertEqual((GIB, 'qcow2', self.cached.path),
                         self._look(self.folder.disk))

    def test_a_root_disk_that_is_a_copy(self) -> None:
        self._disks('raw').make_root(self.folder, self.cached, 2 * MIB)

        self.assertEqual((2 * MIB, 'raw', ''), self._look(self.folder.disk))
        self.assertEqual(
            pathlib.Path(self.cached.path).read_bytes() + b'\0' * MIB,
            pathlib.Path(self.folder.disk).read_bytes())

    def test_without_a_size_it_is_the_images(self) -> None:
        for backend in ('qcow2', 'raw'):
            self._disks(backend).make_root(self.folder, self.cached, 0)

            self.assertEqual(MIB, self._look(self.folder.disk)[0])
            os.unlink(self.folder.disk)

    def test_the_host_has_a_limit_where_the_flavor_has_none(self) -> None:
        large = image_spec.CachedImage(
            self.cached.path, image_spec.DiskFormat.RAW, 2 * GIB)

        error = self.assertRaises(
            exception.ImageRefused,
            self._disks('qcow2', image_max_gib=1).make_root, self.folder,
            large, 0, image_id='img-1')

        self.assertIn('img-1', str(error))
        self.assertNothingMade()

    def test_disks_can_take_all_their_room(self) -> None:
        swap = disk_spec.LocalDisk(size_mib=8)
        for backend in ('qcow2', 'raw'):
            disks = self._disks(backend, preallocate=True)
            disks.make_root(self.folder, self.cached, 16 * MIB)
            disks.make_swap(self.folder, swap)
            disks.make_blank(self.folder.ephemeral(0), self.folder, 8 * MIB)
            for path, size in ((self.folder.disk, 16), (self.folder.swap, 8),
                               (self.folder.ephemeral(0), 8)):
                self.assertEqual(size * MIB, self._look(path)[0])
                self.assertGreaterEqual(
                    os.stat(path).st_blocks * 512, size * MIB)
                os.unlink(path)

    def test_a_disk_without_all_its_room_is_not_made(self) -> None:
        error = self.assertRaises(
            exception.StorageFailure,
            self._disks('qcow2', preallocate=True).make_root, self.folder,
            self.cached, 1 << 50)

        self.assertIn('fallocate', str(error))
        self.assertEqual({}, record.read_all(self.folder.disk_info))
        self.assertFalse(self.folder.has_disk())

    def test_an_image_that_does_not_fit(self) -> None:
        for backend in ('qcow2', 'raw'):
            self.assertRaises(
                exception.FlavorTooSmall, self._disks(backend).make_root,
                self.folder, self.cached, MIB - 512)
            self.assertNothingMade()

    def test_an_iso_image_is_overlaid_as_raw_bytes(self) -> None:
        cached = image_spec.CachedImage(
            self.cached.path, image_spec.DiskFormat.ISO, MIB)

        self.disks.make_root(self.folder, cached, 0)
        self.disks.make_root(self.folder, cached, rescue=True)

        for path in (self.folder.disk, self.folder.rescue_disk):
            self.assertEqual(
                (MIB, 'qcow2', self.cached.path), self._look(path))

    def test_a_blank_disk(self) -> None:
        for backend in ('qcow2', 'raw'):
            self._disks(backend).make_blank(
                self.folder.disk, self.folder, GIB)

            self.assertEqual(
                (GIB, backend, ''), self._look(self.folder.disk))
            os.unlink(self.folder.disk)

    def blkid(self, path: str, format: str) -> str:
        """Return what is on a disk of that format."""
        bare = f'{self.root}/bare'
        subprocess.check_call(['qemu-img', 'convert', '-f', format, '-O',
                               'raw', path, bare])
        return subprocess.check_output(
            ['blkid', '-p', '-o', 'export', bare], text=True)

    def test_ephemeral_disks_have_a_file_system(self) -> None:
        for number, name in enumerate(('vfat', 'ext2', 'ext3', 'ext4')):
            # As Nova's own driver has them, which finds the format in a
            # file's name.
            for backend in ('qcow2', 'raw'):
                self._disks(backend).make_ephemeral(
                    self.folder, number, disk_spec.LocalDisk(
                        size_mib=16, filesystem=name))

                path = self.folder.ephemeral(number)
                self.assertEqual((16 * MIB, backend, ''), self._look(path))
                seen = self.blkid(path, backend)
                self.assertIn(f'TYPE={name}\n', seen)
                self.assertIn(f'LABEL=ephemeral{number}\n',
                              seen.replace('EPHEMERAL', 'ephemeral'))
                os.unlink(path)

        self.assertEqual([], [name for name in os.listdir(self.folder.path)
                              if name.endswith('.raw')])

    def test_those_that_need_a_package_more(self) -> None:
        for number, name in enumerate(('xfs', 'ntfs')):
            if shutil.which(f'mkfs.{name}') is None:
                error = self.assertRaises(
                    exception.StorageFailure, self.disks.make_ephemeral,
                    self.folder, number, disk_spec.LocalDisk(
                        size_mib=512, filesystem=name))
                self.assertIn(f'mkfs.{name}', str(error))
                continue
            self.disks.make_ephemeral(
                self.folder, number, disk_spec.LocalDisk(
                    size_mib=512, filesystem=name))

            seen = self.blkid(self.folder.ephemeral(number), 'qcow2')
            self.assertIn(f'TYPE={name}\n', seen)
            self.assertIn(f'LABEL=ephemeral{number}\n', seen)

    def test_a_swap_disk(self) -> None:
        for backend in ('qcow2', 'raw'):
            self._disks(backend).make_swap(
                self.folder, disk_spec.LocalDisk(size_mib=8, label='spare'))

            seen = self.blkid(self.folder.swap, backend)
            self.assertIn('TYPE=swap\n', seen)
            self.assertIn('LABEL=spare\n', seen)
            self.assertEqual(
                (8 * MIB, backend, ''), self._look(self.folder.swap))
            os.unlink(self.folder.swap)

    def test_words_of_tenants_are_no_options(self) -> None:
        for name, label in (
                ('btrfs', ''), ('../x', ''), ('', '-h'), ('', 'x y'),
                ('', 'a/b'), ('', 'twelve-bytes'), ('', 'x\n')):
            self.assertRaises(
                exception.InvalidRequest, self.disks.make_ephemeral,
                self.folder, 0, disk_spec.LocalDisk(
                    size_mib=16, filesystem=name, label=label))
            self.assertNothingMade()

    def test_what_cannot_be_made_leaves_nothing(self) -> None:
        gone = image_spec.CachedImage(
            f'{self.root}/gone', image_spec.DiskFormat.RAW, MIB)
        for backend in ('qcow2', 'raw'):
            self.assertRaises(
                exception.StorageFailure, self._disks(backend).make_root,
                self.folder, gone, GIB)
            self.assertNothingMade()
        self.assertRaises(  # A file system needs more than that.
            exception.StorageFailure, self.disks.make_ephemeral,
            self.folder, 0, disk_spec.LocalDisk(size_mib=0))
        self.assertNothingMade()

    def test_a_copy_that_is_stopped_leaves_nothing(self) -> None:
        class Stop(ports.NullProgress):
            def advance(self, done: int, total: int) -> None:
                raise fake_progress.Stopped

        self.assertRaises(
            fake_progress.Stopped, self._disks('raw').make_root, self.folder,
            self.cached, GIB, progress=Stop())

        self.assertNothingMade()
        self.assertEqual([], self.copying())

    def copying(self) -> list[str]:
        """Return the programs of this process that work on its files."""
        found = []
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if self.folder.path in (line := ' '.join(child.cmdline())):
                    found.append(line)
        return found

    def test_the_first_error_is_the_one_that_is_told(self) -> None:
        class Damage(ports.NullProgress):
            def advance(this, done: int, total: int) -> None:
                pathlib.Path(self.folder.disk_info).write_text('damaged')
                raise fake_progress.Stopped

        self.assertRaises(
            fake_progress.Stopped, self._disks('raw').make_root, self.folder,
            self.cached, GIB, progress=Damage())

        self.assertEqual(['disk.info'], os.listdir(self.folder.path))

    def test_a_disk_that_exists_stays_with_its_record(self) -> None:
        self.disks.make_root(self.folder, self.cached, GIB)
        before = self._look(self.folder.disk)

        for backend in ('qcow2', 'raw'):
            self.assertRaises(
                exception.StorageFailure, self._disks(backend).make_root,
                self.folder, self.cached, 2 * GIB)

        self.assertEqual(before, self._look(self.folder.disk))

    def test_disks_only_grow(self) -> None:
        for backend in ('qcow2', 'raw'):
            disks = self._disks(backend)
            disks.make_root(self.folder, self.cached, 2 * MIB)

            disks.resize(self.folder.disk, backend, 2 * MIB)
            disks.resize(self.folder.disk, backend, 3 * MIB)
            self.assertRaises(
                exception.InvalidRequest, disks.resize, self.folder.disk,
                backend, 2 * MIB)

            self.assertEqual(3 * MIB, self._look(self.folder.disk)[0])
            os.unlink(self.folder.disk)

    def test_others_on_the_host_may_not_read_disks(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        self.disks.make_root(self.folder, self.cached, GIB)
        self._disks('raw').make_root(self.folder, self.cached, rescue=True)
        self.disks.make_swap(self.folder, disk_spec.LocalDisk(size_mib=1))
        self.disks.make_ephemeral(
            self.folder, 0, disk_spec.LocalDisk(size_mib=1))

        for entry in os.scandir(self.folder.path):
            self.assertEqual(
                0o640, stat.S_IMODE(entry.stat().st_mode), entry.name)
