# SPDX-License-Identifier: Apache-2.0

"""A guest that writes an image's header on its own raw disk."""

import os
import pathlib
import subprocess

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import disks as disks_module
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import layout
from nova_libvirt_driver.storage import qemu_img as qemu_img_module
from nova_libvirt_driver.storage import record
from nova_libvirt_driver.storage import tool as tool_module
from nova_libvirt_driver.testing import specs
from tests import base

MIB = 1 << 20
SECRET = b'the secret of the host'


class HeaderRewriteTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.spec = specs.guest_spec('vm', 'img-1')
        self.folder = folder_module.InstanceFolder(self.root, self.spec.uuid)
        self.folder.create()
        policy = policy_spec.StoragePolicy(
            instances_path=self.root, backend=policy_spec.ImageBackend.RAW)
        tool = tool_module.Tool(policy)
        self.qemu_img = qemu_img_module.QemuImg(tool, policy)
        self.disks = disks_module.Disks(policy, self.qemu_img, tool)
        self.image = os.path.join(self.root, 'image')
        pathlib.Path(self.image).write_bytes(b'x' * MIB)
        self.disks.make_root(self.folder, image_spec.CachedImage(
            self.image, image_spec.DiskFormat.RAW, MIB), 0)
        self._rewrite()

    def _rewrite(self) -> None:
        secret = os.path.join(self.root, 'secret')
        pathlib.Path(secret).write_bytes(SECRET.ljust(MIB, b'\0'))
        header = os.path.join(self.root, 'header')
        subprocess.check_call([
            'qemu-img', 'create', '-q', '-f', 'qcow2', '-b', secret,
            '-F', 'raw', header])
        self.evil = pathlib.Path(header).read_bytes()[:MIB]
        with open(self.folder.disk, 'r+b') as disk:
            disk.write(self.evil)

    def _format(self) -> str:
        return record.read(self.folder.disk_info, self.folder.disk)

    def test_a_tool_that_looks_for_itself_would_be_misled(self) -> None:
        copy = os.path.join(self.root, 'copy')
        subprocess.check_call([
            'qemu-img', 'convert', '-O', 'raw', self.folder.disk, copy])

        self.assertTrue(
            pathlib.Path(copy).read_bytes().startswith(SECRET))

    def test_a_copy_has_the_bytes_of_the_disk(self) -> None:
        for format in ('raw', 'qcow2'):
            copy, back = (os.path.join(self.root, f'{name}.{format}')
                          for name in ('copy', 'back'))
            self.qemu_img.convert(
                self.folder.disk, self._format(), copy, format,
                progress=ports.NullProgress())
            self.qemu_img.convert(copy, format, back, 'raw',
                                  progress=ports.NullProgress())

            content = pathlib.Path(back).read_bytes()
            self.assertEqual(
                pathlib.Path(self.folder.disk).read_bytes(), content)
            self.assertNotIn(SECRET, content)

    def test_a_larger_disk_has_the_bytes_it_had(self) -> None:
        self.disks.resize(self.folder.disk, self._format(), 2 * MIB)

        content = pathlib.Path(self.folder.disk).read_bytes()
        self.assertEqual(2 * MIB, len(content))
        self.assertTrue(content.startswith(self.evil))

    def test_the_guest_gets_its_disk_as_raw_bytes_again(self) -> None:
        formats = record.read_all(self.folder.disk_info)
        [disk] = layout.plan(
            self.spec, self.folder, formats, policy_spec.GuestPolicy())
        [_, second] = layout.plan_rescue(
            self.spec, self.folder,
            {**formats, self.folder.rescue_disk: 'raw'},
            policy_spec.GuestPolicy(), stable_device=None)

        self.assertEqual(('raw', 'raw'), (disk.format, second.format))

    def test_without_the_record_nothing_is_done(self) -> None:
        os.unlink(self.folder.disk_info)

        self.assertRaises(exception.StorageFailure, self._format)
        self.assertRaises(
            exception.StorageFailure, layout.plan, self.spec, self.folder,
            record.read_all(self.folder.disk_info),
            policy_spec.GuestPolicy())
