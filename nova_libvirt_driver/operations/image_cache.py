# SPDX-License-Identifier: Apache-2.0

"""Looking after the image cache."""

import os

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import devices
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.operations.steps import files as files_module
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import backing

LOG = logging.getLogger(__name__)


class ImageCare:
    """Removes cached images that nobody uses.

    An image is used by the disks that are based on it, those of stopped
    guests and of folders without a domain too, and by the domains that
    have it for a disk.
    """

    def __init__(
            self, guests: guests_module.Guests, files: files_module.Files,
            instances_path: str) -> None:
        self._guests = guests
        self._files = files
        self._instances_path = instances_path

    def sweep(self) -> list[str]:
        """Remove images; see the contract's manage_image_cache.

        When it cannot be told what is used, nothing is removed.

        :raises StorageFailure: a disk cannot be read
        """
        if not os.path.isdir(self._instances_path):
            return []
        removed = self._files.cache().sweep(self._used())
        for path in removed:
            LOG.info('Image %s was not used for long and is removed.', path)
        return removed

    def _used(self) -> set[str]:
        return self._of_folders() | self._of_domains()

    def _of_folders(self) -> set[str]:
        used = set()
        try:
            for entry in os.scandir(self._instances_path):
                if not instance_spec.is_uuid(entry.name):
                    continue
                for file in os.scandir(entry.path):
                    if file.is_file(follow_symlinks=False):
                        used.add(backing.backing_file(file.path) or '')
        except FileNotFoundError:
            # An instance is being removed: look at all of them again.
            return self._of_folders()
        except OSError as error:
            raise exception.StorageFailure(
                reason=f'cannot read {error.filename}: {error.strerror}',
                path=self._instances_path) from error
        return used

    def _of_domains(self) -> set[str]:
        used: set[str] = set()
        for entry in self._guests.listing():
            if not entry.owned:
                continue
            guest = self._guests.find_or_none(
                instance_spec.InstanceRef(entry.uuid, entry.name))
            if guest is not None:
                used.update(disk.source for disk in devices.disks(
                    guest.xml()))
        return used
