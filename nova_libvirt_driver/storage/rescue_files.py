# SPDX-License-Identifier: Apache-2.0

"""The files of a rescue: its disk, its config drive, and what was before.

As long as the XML from before a rescue is kept, the guest is rescued.
"""

import dataclasses
import pathlib

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage.configdrive import drive as drive_module
from nova_libvirt_driver.storage import disks as disks_module
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import image_cache
from nova_libvirt_driver.storage import record


@dataclasses.dataclass(frozen=True, slots=True)
class RescueFiles:
    """Makes and removes the files of rescues."""

    folders: folder_module.Folders
    cache: image_cache.ImageCache
    disks: disks_module.Disks
    drives: drive_module.ConfigDrives

    def make(
            self, spec: guest_spec.GuestSpec, image_id: str,
            images: ports.ImageSource, progress: ports.Progress) -> None:
        """Make the disk and the config drive."""
        folder = self.folders.of(spec)
        progress.step('image')
        with self.cache.using(image_id, images, progress) as cached:
            progress.step('disks')
            self.disks.make_root(
                folder, cached, rescue=True, image_id=image_id,
                progress=progress)
        if spec.config_drive is not None:
            progress.step('config drive')
            self.drives.make(spec, folder.rescue_config_drive)

    def remove(self, instance: instance_spec.Instance) -> None:
        """Remove all files of a rescue; idempotent."""
        folder = self.folders.of(instance)
        if not folder.exists():
            return
        for path in (folder.rescue_disk, folder.rescue_config_drive):
            pathlib.Path(path).unlink(missing_ok=True)
        record.forget(folder.disk_info, folder.rescue_disk)
        # Last: as long as it is there, the rescue can be ended again.
        pathlib.Path(folder.unrescue_xml).unlink(missing_ok=True)

    def keep_xml(self, instance: instance_spec.Instance, xml: str) -> None:
        """Keep the XML of a domain as it was before a rescue."""
        atomic.write(self.folders.of(instance).unrescue_xml, xml.encode())

    def kept_xml(self, instance: instance_spec.Instance) -> str | None:
        """Return the XML from before a rescue, None without a rescue.

        :raises StorageFailure: it is damaged
        """
        path = self.folders.of(instance).unrescue_xml
        try:
            return records.read(path).decode()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise exception.StorageFailure(
                reason=f'the record {path} cannot be read: {error}',
                path=path) from error
