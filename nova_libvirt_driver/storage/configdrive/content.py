# SPDX-License-Identifier: Apache-2.0

"""The files of a config drive, in OpenStack's layout; without any effect.

What a tenant names is only data in these files: no name of a file comes
from a tenant.
"""

import base64
import binascii
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import ipaddress
import json
import re
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import nic as nic_spec

SEED_BYTES = 512

_T = typing.TypeVar('_T')

_VERSIONS = ('2012-08-10', '2013-04-04', '2013-10-17', '2015-10-15',
             '2016-06-30', '2016-10-06', '2017-02-22', '2018-08-27',
             '2020-10-14', 'latest')
_EC2_VERSIONS = ('2009-04-04', 'latest')

# Version of the layout from which on there is a field, or a file.
_SINCE = {
    'random_seed': '2013-04-04',
    'vendor_data.json': '2013-10-17',
    'project_id': '2015-10-15',
    'network_data.json': '2015-10-15',
    'devices': '2016-06-30',
    'vendor_data2.json': '2016-10-06',
    'dedicated_cpus': '2020-10-14',
}

_NO_HOSTNAME = re.compile('[^a-z0-9-]+')
_MAX_LABEL = 63
Json = dict[str, object]
_Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_LINK_TYPES = {
    nic_spec.NicKind.BRIDGE: 'bridge',
    nic_spec.NicKind.VHOSTUSER: 'vhostuser',
}


def files(
        spec: guest_spec.GuestSpec, *, random_seed: bytes
) -> dict[str, bytes]:
    """Return what belongs on the config drive of a guest.

    A guest without a drive of its own gets that of an empty request, for a
    host that gives one to every guest.

    :param random_seed: :data:`SEED_BYTES` random bytes for the guest
    :returns: contents by path below the root, with slashes; whether a drive
        can hold them is not looked at
    :raises InvalidRequest: a part of it cannot be written
    """
    drive = spec.config_drive or configdrive_spec.ConfigDriveSpec()
    if drive.prebuilt:
        return {path: _decode(text, path)
                for path, text in drive.prebuilt.items()}
    return {**_openstack(spec, drive, random_seed), **_ec2(spec, drive)}


def hostname(spec: guest_spec.GuestSpec) -> str:
    """Return the host name for the guest, from the fields that are set."""
    drive = spec.config_drive
    if drive is not None and drive.hostname:
        return drive.hostname
    name = _NO_HOSTNAME.sub(
        '-', spec.metadata.display_name.lower())[:_MAX_LABEL].strip('-')
    return name or f'server-{spec.uuid}'


def _openstack(
        spec: guest_spec.GuestSpec, drive: configdrive_spec.ConfigDriveSpec,
        random_seed: bytes) -> dict[str, bytes]:
    vendor = _vendor_data(drive)
    meta = {**_meta_data(spec, drive),
            'random_seed': base64.b64encode(random_seed).decode()}
    shared = {
        'vendor_data.json': _json(vendor),
        'vendor_data2.json': _json({'static': vendor} if vendor else {}),
        'network_data.json': _json(network_data(spec.nics)),
    }
    if drive.user_data:
        shared['user_data'] = _user_data(drive)
    made = {f'openstack{_content_path(index)}': _decode(
        one.content_base64, one.path)
        for index, one in enumerate(drive.files)}
    for version in _VERSIONS:
        folder = f'openstack/{version}'
        made[f'{folder}/meta_data.json'] = _json(_known(version, meta))
        for name, content in _known(version, shared).items():
            made[f'{folder}/{name}'] = content
    return made


def _known(version: str, entries: Mapping[str, _T]) -> dict[str, _T]:
    # 'latest' sorts after every date.
    return {name: value for name, value in entries.items()
            if version >= _SINCE.get(name, '')}


def _meta_data(
        spec: guest_spec.GuestSpec, drive: configdrive_spec.ConfigDriveSpec
) -> dict[str, object]:
    made: dict[str, object] = {
        'uuid': spec.uuid,
        'name': spec.metadata.display_name,
        'hostname': hostname(spec),
        'launch_index': 0,
        'availability_zone': drive.availability_zone,
        'project_id': drive.project_id,
        'meta': dict(drive.meta),
        'devices': [],
        'dedicated_cpus': [],
    }
    if drive.public_keys:
        made['public_keys'] = dict(drive.public_keys)
        made['keys'] = [{'type': 'ssh', 'name': name, 'data': data}
                        for name, data in drive.public_keys.items()]
    if drive.files:
        made['files'] = [
            {'path': one.path, 'content_path': _content_path(index)}
            for index, one in enumerate(drive.files)]
    if drive.admin_password:
        made['admin_pass'] = drive.admin_password
    return made


def _content_path(index: int) -> str:
    return f'/content/{index:04}'


def _ec2(
        spec: guest_spec.GuestSpec, drive: configdrive_spec.ConfigDriveSpec
) -> dict[str, bytes]:
    name = hostname(spec)
    meta = {
        'instance-id': f'i-{spec.uuid[:8]}',
        'instance-type': spec.metadata.flavor.name,
        'instance-action': 'none',
        'ami-launch-index': 0,
        'hostname': name,
        'local-hostname': name,
        'public-hostname': name,
        'placement': {'availability-zone': drive.availability_zone},
        'public-keys': {
            str(index): {'_name': f'{index}={key}', 'openssh-key': data}
            for index, (key, data) in enumerate(drive.public_keys.items())},
    }
    made = {}
    for version in _EC2_VERSIONS:
        made[f'ec2/{version}/meta-data.json'] = _json(meta)
        if drive.user_data:
            made[f'ec2/{version}/user-data'] = _user_data(drive)
    return made


def _user_data(drive: configdrive_spec.ConfigDriveSpec) -> bytes:
    try:
        # What was not UTF-8 when it was read comes out as it was.
        return drive.user_data.encode('utf-8', 'surrogateescape')
    except UnicodeEncodeError:
        # The error would quote the text.
        raise exception.InvalidRequest(
            reason='the user data are no text that can be written') from None


def _vendor_data(drive: configdrive_spec.ConfigDriveSpec) -> object:
    try:
        return json.loads(drive.vendor_data or '{}')
    except ValueError as error:
        raise exception.InvalidRequest(
            reason=f'the vendor data are no JSON: {error}') from error


def _decode(text: str, path: str) -> bytes:
    try:
        return base64.b64decode(''.join(text.split()), validate=True)
    except (ValueError, binascii.Error) as error:
        raise exception.InvalidRequest(
            reason=f'the content of file {path!r} is not base64: '
                   f'{error}') from error


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def network_data(nics: Sequence[nic_spec.NicSpec]) -> Json:
    """Describe links, addresses and name servers: ``network_data.json``.

    :raises InvalidRequest: an address is none
    """
    networks = [one for index, nic in enumerate(nics)
                for one in _networks(index, nic)]
    for index, network in enumerate(networks):
        network['id'] = f'network{index}'
    servers = dict.fromkeys(
        server for nic in nics for address in nic.addresses
        for server in address.dns_servers)
    return {'links': [_link(*one) for one in enumerate(nics)],
            'networks': networks,
            'services': _services(servers)}


def _link_id(index: int) -> str:
    # Not the name of the tap: it is the host's, and may not be known yet.
    return f'nic{index}'


def _link(index: int, nic: nic_spec.NicSpec) -> Json:
    return {'id': _link_id(index), 'vif_id': nic.id,
            'type': _LINK_TYPES.get(nic.kind, 'phy'),
            'ethernet_mac_address': nic.mac, 'mtu': nic.mtu}


def _networks(index: int, nic: nic_spec.NicSpec) -> Iterator[Json]:
    common: Json = {'link': _link_id(index), 'network_id': ''}
    if nic.kind == nic_spec.NicKind.NETWORK:
        common['network_id'] = nic.source
    if not nic.addresses:
        yield {**common, 'type': 'ipv4_dhcp'}
    for address in nic.addresses:
        yield {**common, **_static(address)}


def _static(address: nic_spec.NicAddress) -> Json:
    interface = _interface(address)
    routes = []
    if address.gateway:
        any_address = str(type(interface.ip)(0))
        routes.append({'network': any_address, 'netmask': any_address,
                       'gateway': _ip(address.gateway)})
    return {'type': f'ipv{interface.version}',
            'ip_address': str(interface.ip),
            'netmask': str(interface.netmask),
            'routes': routes,
            'services': _services(address.dns_servers)}


def _services(servers: Sequence[str] | dict[str, None]) -> list[Json]:
    return [{'type': 'dns', 'address': _ip(server)} for server in servers]


def _interface(address: nic_spec.NicAddress) -> _Interface:
    text = f'{address.address}/{address.prefix_length}'
    try:
        return ipaddress.ip_interface(text)
    except ValueError as error:
        raise _no_address(text) from error


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise _no_address(text) from error


def _no_address(text: str) -> exception.InvalidRequest:
    return exception.InvalidRequest(
        reason=f'{text!r} is not an IP address of an interface')
