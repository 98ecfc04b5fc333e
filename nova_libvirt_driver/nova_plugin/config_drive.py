# SPDX-License-Identifier: Apache-2.0

"""What a guest reads about itself, as Nova builds it."""

import base64
from typing import Any

from nova.api.metadata import base as metadata
from nova.virt import configdrive

import nova.conf
from nova_libvirt_driver.spec import configdrive as configdrive_spec

CONF = nova.conf.CONF


def wanted(instance: Any) -> configdrive_spec.ConfigDriveSpec | None:
    """Return the drive of a guest that exists already, None for none.

    It has no content: the drive is there, and stays as it is.
    """
    if not configdrive.required_by(instance):
        return None
    return configdrive_spec.ConfigDriveSpec(device=_device())


def _device() -> str:
    return 'disk' if CONF.config_drive_format == 'vfat' else 'cdrom'


def built(
        instance: Any, network_info: Any, *, files: Any = None,
        admin_password: str | None = None
) -> configdrive_spec.ConfigDriveSpec | None:
    """Return a drive with its content, None for a guest that has none.

    Asks the database of the cloud.

    :param files: pairs of a path and its content
    """
    if not configdrive.required_by(instance):
        return None
    content = metadata.InstanceMetadata(
        instance, content=files, network_info=network_info,
        extra_md={'admin_pass': admin_password} if admin_password else {})
    return configdrive_spec.ConfigDriveSpec(device=_device(), prebuilt={
        path: base64.b64encode(
            data.encode() if isinstance(data, str) else data).decode()
        for path, data in content.metadata_for_config_drive()})
