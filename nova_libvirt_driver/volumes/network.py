# SPDX-License-Identifier: Apache-2.0

"""Volumes that QEMU reads over the network by itself: NBD and HTTP."""

from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import backing
from nova_libvirt_driver.volumes import connection as connection_module


def nbd(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> backing.Backing:
    """Return an export of an NBD server, on a Unix socket or over TCP."""
    socket = connection.data.get('socket')
    return _backing(
        connection, str(connection.data.get('name') or ''),
        (disk_spec.NetworkHost(socket=str(socket)),) if socket
        else hosts(connection))


def http(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> backing.Backing:
    """Return a file of a web server, which guests can only read."""
    return _backing(connection, connection.text('name'), hosts(connection),
                    read_only=True)


def hosts(
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


def _backing(
        connection: connection_module.VolumeConnection, name: str,
        servers: tuple[disk_spec.NetworkHost, ...], *,
        read_only: bool = False) -> backing.Backing:
    return backing.Backing(
        read_only=read_only, source=disk_spec.DiskSource(
            kind=disk_spec.SourceKind.NETWORK,
            protocol=connection.protocol, path=name, hosts=servers))
