# SPDX-License-Identifier: Apache-2.0

"""What a guest is told of its network: ``network_data.json``."""

from collections.abc import Iterator
from collections.abc import Sequence
import ipaddress

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import nic as nic_spec

Json = dict[str, object]
_Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_LINK_TYPES = {
    nic_spec.NicKind.BRIDGE: 'bridge',
    nic_spec.NicKind.VHOSTUSER: 'vhostuser',
}


def network_data(nics: Sequence[nic_spec.NicSpec]) -> Json:
    """Describe links, addresses and name servers.

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
