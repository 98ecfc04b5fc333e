# SPDX-License-Identifier: Apache-2.0

"""Volumes that are a file on a file system which the host has mounted.

Tenants write the file, so its bytes never say what format it has.
"""

import re

from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import backing
from nova_libvirt_driver.volumes import connection as connection_module


def nfs(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> backing.Backing:
    """Return a file of an NFS server."""
    return _backing(
        connection, io='' if settings.default_aio else 'native')


def quobyte(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> backing.Backing:
    """Return a file on Quobyte."""
    return _backing(connection, io='native')


def written_back(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> backing.Backing:
    """Return a file on SMB or Virtuozzo Storage, which know no O_DIRECT."""
    return _backing(connection, cache='writeback')


def plain(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> backing.Backing:
    """Return a file on a file system that is always mounted, as GPFS is."""
    return _backing(connection)


def _backing(
        connection: connection_module.VolumeConnection, *, io: str = '',
        cache: str = 'none') -> backing.Backing:
    format = connection.data.get('format') or 'raw'
    if not isinstance(format, str) or not re.fullmatch(
            '[a-z0-9]+', format):
        raise connection.failure(f'its format {format!r} is not known')
    return backing.Backing(
        format=format, io=io, cache=cache, source=disk_spec.DiskSource(
            path=connection.text('device_path')))
