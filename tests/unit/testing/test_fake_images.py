# SPDX-License-Identifier: Apache-2.0

import hashlib
import io
import pathlib

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.testing import fake_images
from nova_libvirt_driver.testing import fake_progress
from nova_libvirt_driver.testing import specs
from tests import base

CONTENT = bytes(range(256)) * 1024
QUIET = ports.NullProgress()


class DownloadTest(base.TestCase):
    """Images that are fetched."""

    def setUp(self) -> None:
        super().setUp()
        self.images = fake_images.MemoryImages()
        self.image = self.images.add(CONTENT, name='one')
        self.file = io.BytesIO()

    def test_bytes_come_whole_and_are_counted(self) -> None:
        progress = fake_progress.RecordingProgress()

        self.images.download(self.image.id, self.file, progress)

        self.assertEqual(CONTENT, self.file.getvalue())
        self.assertEqual([self.image.id], self.images.downloads)
        self.assertEqual((len(CONTENT),) * 2, progress.advances[-1])

    def test_image_is_described_truly(self) -> None:
        shown = self.images.show(self.image.id)

        self.assertEqual(('one', 'raw', len(CONTENT)),
                         (shown.name, shown.disk_format, shown.size_bytes))
        self.assertEqual(hashlib.sha512(CONTENT).hexdigest(), shown.checksum)

    def test_image_that_is_not_there_is_not_found(self) -> None:
        self.assertRaises(exception.ImageNotFound, self.images.show, 'x')
        self.assertRaises(exception.ImageNotFound, self.images.download,
                          'x', self.file, QUIET)

    def test_transfer_breaks_off_at_the_byte_asked_for(self) -> None:
        self.images.faults.download_fails_at = 100_000

        self.assertRaises(
            exception.StorageFailure, self.images.download, self.image.id,
            self.file, QUIET)

        self.assertEqual(CONTENT[:100_000], self.file.getvalue())

    def test_corrupt_bytes_do_not_have_the_checksum(self) -> None:
        self.images.faults.corrupt = True

        self.images.download(self.image.id, self.file, QUIET)

        self.assertEqual(len(CONTENT), len(self.file.getvalue()))
        self.assertNotEqual(
            self.image.checksum,
            hashlib.sha512(self.file.getvalue()).hexdigest())

    def test_test_is_called_before_each_piece(self) -> None:
        lengths: list[int] = []
        self.images.faults.before_chunk = lambda: lengths.append(
            len(self.file.getvalue()))

        self.images.download(self.image.id, self.file, QUIET)

        self.assertEqual([0, 65536, 131072, 196608], lengths)

    def test_boot_sector_is_an_image_of_a_mebibyte(self) -> None:
        image = specs.boot_sector_image(self.images, 'up', id='boot')

        content = self.images.content('boot')
        assert content is not None
        self.assertEqual(1024 * 1024, image.size_bytes)
        self.assertEqual(b'\x55\xaa', content[510:512])


class UploadTest(base.TestCase):
    """Images that are kept."""

    def setUp(self) -> None:
        super().setUp()
        self.images = fake_images.MemoryImages()
        self.path = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path, 'snapshot')
        self.path.write_bytes(CONTENT)
        self.described = image_spec.Image(id='new', disk_format='raw')

    def upload(self) -> None:
        with open(self.path, 'rb') as file:
            self.images.upload(self.described, file, QUIET)

    def test_bytes_are_kept_with_their_length(self) -> None:
        self.images.register(self.described)
        self.upload()

        self.assertEqual(CONTENT, self.images.content('new'))
        self.assertEqual(len(CONTENT), self.images.show('new').size_bytes)
        self.assertEqual(['new'], self.images.ids)

    def test_transfer_that_breaks_off_leaves_no_image(self) -> None:
        self.images.faults.upload_fails_at = len(CONTENT) // 2

        self.assertRaises(exception.StorageFailure, self.upload)

        self.assertEqual(['new'], self.images.uploads)
        self.assertEqual([], self.images.ids)
        self.assertRaises(exception.ImageNotFound, self.images.show, 'new')
