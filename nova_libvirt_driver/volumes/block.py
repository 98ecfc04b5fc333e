# SPDX-License-Identifier: Apache-2.0

"""Volumes that are a block device of the host."""

from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import backing
from nova_libvirt_driver.volumes import connection as connection_module


def device(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> backing.Backing:
    """Return a device whose I/O mode is QEMU's choice."""
    return _backing(connection)


def scsi(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> backing.Backing:
    """Return a SCSI device, for iSCSI, iSER and Fibre Channel."""
    return _backing(connection, '' if settings.default_aio else 'native')


def native(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> backing.Backing:
    """Return a device of ScaleIO or StorPool, always with native I/O."""
    return _backing(connection, 'native')


def _backing(
        connection: connection_module.VolumeConnection,
        io: str = '') -> backing.Backing:
    return backing.Backing(io=io, source=disk_spec.DiskSource(
        kind=disk_spec.SourceKind.BLOCK,
        path=connection.text('device_path')))
