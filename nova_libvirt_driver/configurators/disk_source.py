# SPDX-License-Identifier: Apache-2.0

"""Where a disk's bytes are, with what it takes to read them."""

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.xmlmodel.devices import disk as disk_module

Kind = disk_spec.SourceKind

# QEMU itself reads the first version only.
_LUKS2 = 'luks2'

_REMOVABLE = (disk_spec.DiskDevice.CDROM, disk_spec.DiskDevice.FLOPPY)


def check(disk: disk_spec.DiskSpec) -> None:
    """Refuse a source that is none.

    :raises InvalidRequest: a path, a protocol or a secret is missing
    """
    source = disk.source
    what = f'the disk {disk.target_dev}'
    if source.kind is Kind.NETWORK:
        if not source.protocol:
            raise exception.InvalidRequest(
                reason=f'{what} is on the network without a protocol')
        for host in source.hosts:
            _check_host(what, host)
    elif source.path or disk.device not in _REMOVABLE:
        checks.path(what, source.path)
    if source.auth_username:
        checks.uuid_of_secret(what, source.auth_secret_uuid)
    if disk.encryption is not None:
        checks.uuid_of_secret(what, disk.encryption.secret_uuid)
        _check_encryption(what, disk.encryption, source)


def fill(element: disk_module.Disk, disk: disk_spec.DiskSpec) -> None:
    """Write a source that was checked."""
    source = disk.source
    element.type = source.kind.value
    if source.kind is Kind.NETWORK:
        _network(element, source)
    elif source.kind is Kind.BLOCK:
        element.source_dev = source.path or None
    else:
        element.source_file = source.path or None
    if source.auth_username:
        element.auth_username = source.auth_username
        element.auth_secret_type = source.auth_secret_type
        element.auth_secret_uuid = source.auth_secret_uuid
    if disk.encryption is not None:
        element.encryption_format = disk.encryption.format
        if disk.encryption.format == _LUKS2:
            element.encryption_engine = 'librbd'
        element.encryption_secret_type = 'passphrase'
        element.encryption_secret_uuid = disk.encryption.secret_uuid


def _network(
        element: disk_module.Disk, source: disk_spec.DiskSource) -> None:
    element.source_protocol = source.protocol
    element.source_name = source.path or None
    for host in source.hosts:
        node = element.source_hosts.add()
        if host.socket:
            node.transport = 'unix'
            node.socket = host.socket
        else:
            node.name = host.name
            node.port = host.port


def _check_encryption(
        what: str, encryption: disk_spec.DiskEncryption,
        source: disk_spec.DiskSource) -> None:
    if encryption.format not in ('luks', _LUKS2):
        raise exception.InvalidRequest(
            reason=f'{what} has the encryption {encryption.format!r}: take '
            'luks')
    if encryption.format == _LUKS2 and source.protocol != 'rbd':
        raise exception.InvalidRequest(
            reason=f'{what} has the encryption luks2, which only RBD can '
            'read')


def _check_host(what: str, host: disk_spec.NetworkHost) -> None:
    if bool(host.socket) == bool(host.name):
        raise exception.InvalidRequest(
            reason=f'{what} has a server that needs a name or a socket, '
            'and not both')
    if host.socket:
        checks.path(f'the socket of {what}', host.socket)
