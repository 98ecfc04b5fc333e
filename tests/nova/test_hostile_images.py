# SPDX-License-Identifier: Apache-2.0

"""A hostile image under Nova: refused for good, and without a path."""

import fixtures
from nova import exception as nova_exception
import testtools

from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import errors
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import image_cache
from nova_libvirt_driver.storage import qemu_img
from nova_libvirt_driver.storage import tool
from nova_libvirt_driver.testing import fake_images
from tests import hostile_images

TARGET = '/etc/hostname'
NAMES = ('parent', 'parent in comments', 'parent behind the descriptor',
         'backing file, version 3', 'data file')


class HostileImageTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.FakeLogger())
        self.folder = self.useFixture(fixtures.TempDir()).path
        policy = policy_spec.StoragePolicy(instances_path=self.folder)
        self.cache = image_cache.ImageCache(
            policy, qemu_img.QemuImg(tool.Tool(policy), policy))

    def _spawn_from(self, image: hostile_images.Hostile) -> None:
        images = fake_images.MemoryImages()
        added = images.add(image.content, disk_format=image.declared)
        try:
            with self.cache.using(added.id, images, ports.NullProgress()):
                pass
        except exception.DriverError as error:
            raise errors.translate(error) from None

    def test_no_other_host_is_tried(self) -> None:
        tried = [image for image in hostile_images.images(TARGET)
                 if image.name in NAMES]
        self.assertLess(10, len(tried))

        for image in tried:
            error = self.assertRaises(
                nova_exception.ImageUnacceptable, self._spawn_from, image)

            for secret in (TARGET, self.folder):
                self.assertNotIn(secret, str(error))
