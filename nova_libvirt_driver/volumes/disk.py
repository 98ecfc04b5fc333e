# SPDX-License-Identifier: Apache-2.0

"""From the way to a volume to the disk of a guest.

The one place where that happens, so that a disk is the same however its
guest came to it.
"""

from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import backing
from nova_libvirt_driver.volumes import connection as connection_module
from nova_libvirt_driver.volumes import protocols

_O_DIRECT = ('none', 'directsync')
"""Cache modes with which QEMU can do native I/O."""


def spec(
        connection: connection_module.VolumeConnection,
        place: volume_spec.Placement, settings: volume_spec.VolumeSettings,
        *, secret_uuid: str = '') -> disk_spec.DiskSpec:
    """Return a volume as a disk.

    :param connection: of a host that is connected
    :param secret_uuid: libvirt secret with which QEMU decrypts the volume
    :raises VolumeFailure: the connection is incomplete or of unknown kind
    """
    found = protocols.of(connection).backing(connection, settings)
    cache = 'none' if connection.shareable else settings.cache_modes.get(
        found.source.kind.value, found.cache)
    return disk_spec.DiskSpec(
        id=connection.volume_id, target_dev=place.target_dev,
        bus=place.bus, device=place.device,
        boot_order=place.boot_order, scsi_model=place.scsi_model,
        format=found.format, source=found.source, cache=cache,
        io=_io(found, cache), discard=_discard(connection, settings),
        serial=connection.serial, shareable=connection.shareable,
        readonly=connection.read_only or found.read_only,
        logical_block_bytes=connection.logical_block_bytes,
        physical_block_bytes=connection.physical_block_bytes,
        iotune=connection.iotune,
        encryption=(disk_spec.DiskEncryption(secret_uuid=secret_uuid)
                    if secret_uuid else None))


def _io(found: backing.Backing, cache: str) -> str:
    if found.io == 'native' and cache not in _O_DIRECT:
        return 'threads'
    return found.io


def _discard(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> str:
    if connection.discard:
        return 'unmap'
    # Said only where it is not what QEMU does anyhow.
    return 'ignore' if settings.discard else ''
