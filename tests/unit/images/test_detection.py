# SPDX-License-Identifier: Apache-2.0

import bz2
import gzip
import io
import lzma
import os
import pathlib
import subprocess
import tarfile
import zipfile

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.images import detection
from tests import base
from tests import hostile_images

MIB = 1 << 20
BOOT_SECTOR = bytes(510) + b'\x55\xaa' + bytes(MIB)


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode='w') as archive:
        archive.addfile(tarfile.TarInfo('disk.ovf'))
    return file.getvalue()


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as found:
        found.writestr('disk', BOOT_SECTOR)
    return file.getvalue()


class DetectionTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.path = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'disk')

    def _settle(self, content: bytes, told: str = '') -> str:
        pathlib.Path(self.path).write_bytes(content)
        return detection.settle(self.path, told)

    def test_what_is_no_disk_is_refused_with_what_it_is(self) -> None:
        for content, what in (
                (lzma.compress(BOOT_SECTOR), 'xz'),
                (gzip.compress(BOOT_SECTOR), 'gzip'),
                (bz2.compress(BOOT_SECTOR), 'bzip2'), (tar(), 'tar'),
                (archive(), 'zip'), (b'import sys\n' * 99, 'a disk'),
                (b'<html>404</html>\n', 'a disk'),
                (os.urandom(300) + b'x' * MIB, 'a disk')):
            error = self.assertRaises(
                exception.InvalidRequest, self._settle, content)

            self.assertIn(what, str(error))
            self.assertIn('--disk-format raw', str(error))

    def test_disks_without_a_format_are_raw(self) -> None:
        for content in (BOOT_SECTOR, bytes(MIB)):
            self.assertEqual('raw', self._settle(content))
        for command in (['mkfs.ext4', '-q'], ['mkfs.vfat'],
                        ['mkswap', '-q']):
            pathlib.Path(self.path).write_bytes(bytes(8 * MIB))
            subprocess.run([*command, self.path], check=True,
                           capture_output=True)

            self.assertEqual('raw', detection.settle(self.path, ''))

    def test_a_raw_file_is_kept_when_that_is_asked_for(self) -> None:
        self.assertEqual('raw', self._settle(gzip.compress(b'x'), 'raw'))

        self.assertIn('compressed with gzip', self.log.output)

    def test_a_fixed_vhd_image_is_found(self) -> None:
        content = BOOT_SECTOR[:MIB] + hostile_images.vhd(2)[-512:]

        self.assertEqual('vpc', self._settle(content))

    def test_an_image_that_cannot_be_used_is_refused_at_once(self) -> None:
        for image in hostile_images.images('/etc/hostname'):
            if image.name == 'parent' and image.declared == image.format:
                for told in ('', image.declared):
                    self.assertRaises(
                        exception.ImageRefused, self._settle, image.content,
                        told)
