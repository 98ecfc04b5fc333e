# SPDX-License-Identifier: Apache-2.0

"""Config drives as files on the host."""

from collections.abc import Mapping

from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage.configdrive import iso
from nova_libvirt_driver.storage.configdrive import limits
from nova_libvirt_driver.storage.configdrive import vfat

_FILL = {
    configdrive_spec.ConfigDriveFormat.ISO9660: iso.fill,
    configdrive_spec.ConfigDriveFormat.VFAT: vfat.fill,
}


def build(
        path: str, files: Mapping[str, bytes],
        format: configdrive_spec.ConfigDriveFormat) -> None:
    """Make a drive, or leave the one that was there; may take a second.

    :param files: contents by path below the root of the drive
    :raises InvalidRequest: a path leads out of the drive, or it is too much
    :raises StorageFailure: there is no room, or a tool is missing
    """
    limits.check(files)
    fill = _FILL[format]
    atomic.make(path, lambda temporary: fill(temporary, files))
