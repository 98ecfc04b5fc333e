# SPDX-License-Identifier: Apache-2.0

"""What is written on a disk that has no room left."""

from collections.abc import Callable
import contextlib
import os
import pathlib
import subprocess

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import disks as disks_module
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import image_cache
from nova_libvirt_driver.storage import qemu_img as qemu_img_module
from nova_libvirt_driver.storage import record
from nova_libvirt_driver.storage import tool as tool_module
from nova_libvirt_driver.testing import fake_images
from tests import base
from tests import owners

MIB = 1 << 20
UUID = '5b2d9d6f-6f4f-4b5c-8f2c-3f2a4f4c8f11'


class FullDiskTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.outside = self.useFixture(fixtures.TempDir()).path
        self.root = self.useFixture(fixtures.TempDir()).path
        subprocess.check_call([
            'mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', self.root])
        self.addCleanup(
            subprocess.check_call, ['umount', '-l', self.root])
        policy = policy_spec.StoragePolicy(
            instances_path=self.root, backend=policy_spec.ImageBackend.RAW)
        tool = tool_module.Tool(policy)
        self.qemu_img = qemu_img_module.QemuImg(tool, policy)
        self.cache = image_cache.ImageCache(policy, self.qemu_img)
        self.disks = disks_module.Disks(policy, self.qemu_img, tool)
        self.images = fake_images.MemoryImages()
        self.folder = folder_module.InstanceFolder(self.root, UUID)
        self.folder.create()
        record.write(self.folder.disk_info, '/other', 'raw')

    def _files(self) -> dict[str, int]:
        return {str(path): path.stat().st_size
                for path in pathlib.Path(self.root).rglob('*')
                if path.is_file()}

    def _fill(self) -> None:
        path = os.path.join(self.root, 'filling')
        with (open(path, 'wb', buffering=0) as file,
              contextlib.suppress(OSError)):
            while file.write(b'x' * 4096):
                pass

    def assertLeavesNothing(self, write: Callable[[], object]) -> None:
        before = self._files()

        error = self.assertRaises(exception.StorageFailure, write)

        self.assertRegex(str(error).lower(), 'no space|no room|full|short|'
                         'enospc|failed|writing')
        self.assertEqual(before, self._files())

    def _use(self, image: image_spec.Image) -> None:
        with self.cache.using(image.id, self.images, ports.NullProgress()):
            self.fail('there is no room for it')

    def test_an_image_that_is_downloaded(self) -> None:
        image = self.images.add(b'x' * 4 * MIB)

        self.assertLeavesNothing(lambda: self._use(image))

        image = self.images.add(b'x' * MIB)
        with self.cache.using(image.id, self.images, ports.NullProgress()):
            pass

    def test_an_image_that_is_converted(self) -> None:
        path = os.path.join(self.outside, 'image')
        pathlib.Path(path).write_bytes(b'x' * 8 * MIB)
        self.qemu_img.convert(path, 'raw', f'{path}.out', 'qcow2',
                              compress=True, progress=ports.NullProgress())
        image = self.images.add(
            pathlib.Path(f'{path}.out').read_bytes(), disk_format='qcow2')

        self.assertLeavesNothing(lambda: self._use(image))

    def test_a_root_disk_that_is_copied(self) -> None:
        path = os.path.join(self.outside, 'image')
        pathlib.Path(path).write_bytes(os.urandom(4 * MIB))
        cached = image_spec.CachedImage(
            path, image_spec.DiskFormat.RAW, 4 * MIB)

        self.assertLeavesNothing(
            lambda: self.disks.make_root(self.folder, cached, 0))

        self.assertEqual('raw', record.read(self.folder.disk_info, '/other'))

    def test_a_root_disk_over_its_image(self) -> None:
        path = os.path.join(self.outside, 'image')
        pathlib.Path(path).write_bytes(b'x' * MIB)
        cached = image_spec.CachedImage(path, image_spec.DiskFormat.RAW, MIB)
        os.unlink(self.folder.disk_info)
        self._fill()
        filling = os.path.join(self.root, 'filling')

        for room in range(0, 64, 4):
            os.truncate(filling, os.stat(filling).st_size - room * 1024)
            self.assertLeavesNothing(
                lambda: self._overlays().make_root(self.folder, cached, 0))
            self._fill()

    def _overlays(self) -> disks_module.Disks:
        policy = policy_spec.StoragePolicy(instances_path=self.root)
        tool = tool_module.Tool(policy)
        return disks_module.Disks(
            policy, qemu_img_module.QemuImg(tool, policy), tool)

    def test_small_files(self) -> None:
        self._fill()
        book = owners.journal(self.root)
        pathlib.Path(self.root, '.operations').mkdir()

        self.assertLeavesNothing(
            lambda: book.begin('spawn', uuid=UUID, name='vm'))
        self.assertLeavesNothing(
            lambda: record.write(self.folder.disk_info, '/i/x', 'qcow2'))

    def test_disks_that_get_a_file_system(self) -> None:
        wanted = disk_spec.LocalDisk(size_mib=64, filesystem='ext4')
        self._fill()
        filling = os.path.join(self.root, 'filling')
        os.truncate(filling, os.stat(filling).st_size - 65536)

        self.assertLeavesNothing(
            lambda: self.disks.make_ephemeral(self.folder, 0, wanted))
