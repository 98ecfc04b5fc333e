# SPDX-License-Identifier: Apache-2.0

"""Looking after the image cache."""

from collections.abc import Collection
import dataclasses

from oslo_log import log as logging

from nova_libvirt_driver.guest import devices
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import image_cache
from nova_libvirt_driver.storage import image_users

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class ImageCare:
    """Removes cached images that no disk uses.

    An image is used by the disks that are based on it, also by way of other
    disks: those of stopped guests, of folders without a domain, of other
    hosts that share the folder of the instances, and of any domain of this
    host, ours or not. In doubt it is used.
    """

    guests: guests_module.Guests
    cache: image_cache.ImageCache
    policy: policy_spec.StoragePolicy

    def sweep(
            self, image_ids: Collection[str] = (),
            min_age_s: float | None = None) -> list[str]:
        """Remove images; see the contract's manage_image_cache.

        When it cannot be found out what is used, nothing is removed.

        :param image_ids: images that stay in any case
        :raises StorageFailure: a disk cannot be read
        """
        if min_age_s is None:
            if not self.policy.remove_unused_images:
                return []
            min_age_s = self.policy.unused_image_age_s
        kept = {image_cache.key_of(image_id) for image_id in image_ids}
        removed = self.cache.sweep(
            lambda: kept | self._of_folders() | self._of_domains(),
            min_age_s)
        for path in removed:
            LOG.info('Removed the cached image %s, which has not been used '
                     'for %d s.', path, min_age_s)
        return removed

    def _of_folders(self) -> set[str]:
        return image_users.below(
            self.policy.instances_path, self.policy.image_cache_path)

    def _of_domains(self) -> set[str]:
        used: set[str] = set()
        for xml in self.guests.definitions():
            used |= image_users.keys_in(xml)
            used |= image_users.of_disks(
                source for disk in devices.read(xml).disks
                if (source := devices.source_of(disk)))
        return used
