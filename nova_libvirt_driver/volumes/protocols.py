# SPDX-License-Identifier: Apache-2.0

"""From the way to a volume to the disk of a guest, for each protocol.

The one place where that happens, so that a disk is the same however its
guest came to it. A new protocol is one line in the table.
"""

from collections.abc import Callable
import dataclasses
import enum
import re

from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import connection as connection_module


class HostPart(enum.Enum):
    """What the host has to do before QEMU can read a volume."""

    DEVICE = 'device'
    """Bring about a block device."""
    MOUNT = 'mount'
    """Mount the file system that the volume is a file of."""
    NOTHING = 'nothing'
    """QEMU connects by itself, or all is there already."""


class Io(enum.Enum):
    """Which I/O mode suits a volume."""

    ANY = 'any'
    """That of QEMU's choice."""
    NATIVE = 'native'
    OPTION = 'option'
    """Native, unless the host is configured to leave it to QEMU."""


@dataclasses.dataclass(frozen=True, slots=True)
class Protocol:
    """How volumes of one protocol get to a guest."""

    host_part: HostPart
    source: Callable[
        [connection_module.VolumeConnection, volume_spec.VolumeSettings],
        disk_spec.DiskSource]
    """Says where the bytes of a volume are."""
    io: Io = Io.ANY
    cache: str = 'none'
    """Cache mode where the host has none for this kind of source."""
    is_file: bool = False
    """Its format is not always raw."""
    read_only: bool = False


def disk(
        connection: connection_module.VolumeConnection,
        place: volume_spec.Placement, settings: volume_spec.VolumeSettings,
        *, secret_uuid: str = '') -> disk_spec.DiskSpec:
    """Return a volume as a disk.

    :param connection: of a host that is connected
    :param secret_uuid: libvirt secret with which QEMU decrypts the volume
    :raises VolumeFailure: the connection is incomplete or of unknown kind
    """
    protocol = of(connection)
    source = protocol.source(connection, settings)
    cache = 'none' if connection.shareable else settings.cache_modes.get(
        source.kind.value, protocol.cache)
    return disk_spec.DiskSpec(
        id=connection.volume_id, target_dev=place.target_dev,
        bus=place.bus, device=place.device,
        boot_order=place.boot_order, scsi_model=place.scsi_model,
        format=_format(connection) if protocol.is_file else 'raw',
        source=source, cache=cache, io=_io(protocol, cache, settings),
        discard=_discard(connection, settings),
        serial=connection.serial, shareable=connection.shareable,
        readonly=connection.read_only or protocol.read_only,
        logical_block_bytes=connection.logical_block_bytes,
        physical_block_bytes=connection.physical_block_bytes,
        iotune=connection.iotune,
        encryption=(disk_spec.DiskEncryption(secret_uuid=secret_uuid)
                    if secret_uuid else None))


def of(connection: connection_module.VolumeConnection) -> Protocol:
    """Return how volumes of this kind get to a guest.

    :raises VolumeFailure: that is not known
    """
    found = PROTOCOLS.get(connection.protocol)
    if found is None:
        raise connection.failure(
            f'{connection.protocol!r} is not one of the protocols that this '
            f'driver knows: {", ".join(PROTOCOLS)}')
    return found


def _format(connection: connection_module.VolumeConnection) -> str:
    # Tenants write the file, so its bytes never say what format it has.
    format = connection.data.get('format') or 'raw'
    if not isinstance(format, str) or not re.fullmatch(
            '[a-z0-9]+', format):
        raise connection.failure(f'its format {format!r} is not known')
    return format


def _io(
        protocol: Protocol, cache: str,
        settings: volume_spec.VolumeSettings) -> str:
    if protocol.io is Io.ANY or (
            protocol.io is Io.OPTION and settings.default_aio):
        return ''
    return disk_spec.fitting_io('native', cache)


def _discard(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> str:
    if connection.discard:
        return 'unmap'
    # Said only where it is not what QEMU does anyhow.
    return 'ignore' if settings.discard else ''


def _device(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> disk_spec.DiskSource:
    """Return a block device of the host."""
    return disk_spec.DiskSource(
        kind=disk_spec.SourceKind.BLOCK, path=connection.text('device_path'))


def _file(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> disk_spec.DiskSource:
    """Return a file on a file system that the host has mounted."""
    return disk_spec.DiskSource(path=connection.text('device_path'))


def _nbd(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> disk_spec.DiskSource:
    """Return an export of an NBD server, on a Unix socket or over TCP."""
    socket = connection.data.get('socket')
    return _server(
        connection, str(connection.data.get('name') or ''),
        (disk_spec.NetworkHost(socket=str(socket)),) if socket
        else _hosts(connection))


def _http(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> disk_spec.DiskSource:
    """Return a file of a web server."""
    return _server(connection, connection.text('name'), _hosts(connection))


def _rbd(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> disk_spec.DiskSource:
    """Return an image in a pool of Ceph, with the monitors that lead to it.

    :raises VolumeFailure: a user comes without a secret, or the reverse
    """
    user, secret = _credentials(connection, settings)
    return dataclasses.replace(
        _server(connection, connection.text('name'), _hosts(connection)),
        auth_username=user, auth_secret_uuid=secret,
        auth_secret_type=(str(connection.data.get('secret_type') or 'ceph')
                          if user else ''))


def _server(
        connection: connection_module.VolumeConnection, name: str,
        servers: tuple[disk_spec.NetworkHost, ...]) -> disk_spec.DiskSource:
    """Return what QEMU reads over the network by itself."""
    return disk_spec.DiskSource(
        kind=disk_spec.SourceKind.NETWORK, protocol=connection.protocol,
        path=name, hosts=servers)


def _hosts(
        connection: connection_module.VolumeConnection
) -> tuple[disk_spec.NetworkHost, ...]:
    """Return the servers, each with a port when any is named.

    One that comes without a port of its own has the last that is named.

    :raises VolumeFailure: there are none
    """
    names = connection.data.get('hosts') or ()
    ports = list(connection.data.get('ports') or ())
    if not names:
        raise connection.failure(
            f'its {connection.protocol} connection lacks \'hosts\'')
    ports += ports[-1:] * (len(names) - len(ports))
    ports += [None] * (len(names) - len(ports))
    return tuple(
        disk_spec.NetworkHost(
            name=str(name).strip('[]'), port=_port(connection, port))
        for name, port in zip(names, ports, strict=False))


def _port(
        connection: connection_module.VolumeConnection,
        port: object) -> int | None:
    if port is None:
        return None
    if not str(port).isdecimal() or not 0 < int(str(port)) < 1 << 16:
        raise connection.failure(f'its server has the port {port!r}')
    return int(str(port))


def _credentials(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> tuple[str, str]:
    """Return user and secret, which always come from one place.

    A user of the volume service does not open the secret of the compute
    service.
    """
    data = connection.data
    if data.get('auth_enabled') and data.get('secret_uuid'):
        pair = str(data.get('auth_username') or ''), str(data['secret_uuid'])
    elif data.get('auth_enabled') or settings.rbd_secret_uuid:
        pair = settings.rbd_user, settings.rbd_secret_uuid
    else:
        return '', ''
    if not all(pair):
        raise connection.failure(
            'its Ceph wants a user and a secret, and it comes without: set '
            'rbd_user and rbd_secret_uuid where the volume service runs, or '
            'here')
    return pair


SCSI = Protocol(HostPart.DEVICE, _device, Io.OPTION)
"""A SCSI device, as of iSCSI, iSER and Fibre Channel."""

_WEB = Protocol(HostPart.NOTHING, _http, read_only=True)
_FABRIC = Protocol(HostPart.DEVICE, _device)
_OWN_DRIVER = Protocol(HostPart.DEVICE, _device, Io.NATIVE)
# They know no O_DIRECT.
_WRITTEN_BACK = Protocol(
    HostPart.MOUNT, _file, cache='writeback', is_file=True)

PROTOCOLS = {
    'fibre_channel': SCSI,
    'gpfs': Protocol(HostPart.NOTHING, _file, is_file=True),
    'http': _WEB,
    'https': _WEB,
    'iscsi': SCSI,
    'iser': SCSI,
    'lightos': _FABRIC,
    'local': Protocol(HostPart.NOTHING, _device),
    'nbd': Protocol(HostPart.NOTHING, _nbd),
    'nfs': Protocol(HostPart.MOUNT, _file, Io.OPTION, is_file=True),
    'nvmeof': _FABRIC,
    'quobyte': Protocol(HostPart.MOUNT, _file, Io.NATIVE, is_file=True),
    'rbd': Protocol(HostPart.NOTHING, _rbd),
    'scaleio': _OWN_DRIVER,
    'smbfs': _WRITTEN_BACK,
    'storpool': _OWN_DRIVER,
    'vzstorage': _WRITTEN_BACK,
}
