# SPDX-License-Identifier: Apache-2.0

"""Addresses under which guests can be reached, as far as libvirt knows them.

The leases of libvirt's own networks come first, then what the agent in the
guest says, then the neighbours that the host's kernel has seen. Only the
agent is in a guest, and only it may keep one waiting.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import ipaddress
from typing import Any

import libvirt

from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import agent as agent_module
from nova_libvirt_driver.guest import devices
from nova_libvirt_driver.guest import reach as reach_module
from nova_libvirt_driver.spec import nic as nic_spec

_LEASE = libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE
_ARP = libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP
_MOST = 16
_AGENT_S = 1


def of_guest(reach: reach_module.Reach) -> list[nic_spec.FoundAddress]:
    """Return the addresses of a guest; empty when none are known.

    Blocks for some seconds at most.
    """
    agent = agent_module.Agent(reach)
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        'lease': lambda: _look(reach, _LEASE),
        'agent': lambda: agent.addresses(
            timeout_s=_AGENT_S) if agent.is_connected() else {},
        'arp': lambda: _look(reach, _ARP)}
    for source, way in ways.items():
        with contextlib.suppress(exception.DriverError):
            found = list(_usable(way(), source))
            if found:
                return found
    return []


def of_all(
        domains: Iterable[protocol.Domain],
) -> dict[str, list[nic_spec.FoundAddress]]:
    """Return those of all guests that the host itself knows, by their uuid.

    Asks no guest; runs on a native thread.
    """
    found: dict[str, list[nic_spec.FoundAddress]] = {}
    for domain in domains:
        for source, kind in (('lease', _LEASE), ('arp', _ARP)):
            # It is stopped, or this hypervisor does not know.
            with contextlib.suppress(libvirt.libvirtError):
                addresses = list(_usable(_ask(domain, kind), source))
                if addresses:
                    found[domain.UUIDString()] = addresses
                    break
    return found


def _look(reach: reach_module.Reach, source: int) -> dict[str, Any]:
    return reach.look('look for addresses of the guest',
                      lambda domain: _ask(domain, source))


def _ask(domain: protocol.Domain, source: int) -> dict[str, Any]:
    """Return what libvirt knows from one source.

    Only guests on its own networks have leases. For any other libvirt would
    still look for the daemon of these networks: five seconds for a user who is
    not root, and has none.

    :raises libvirt.libvirtError: as it comes
    """
    if source == _LEASE and not any(
            nic.type == nic_spec.NicKind.NETWORK
            for nic in devices.read(domain.XMLDesc(0)).interfaces):
        return {}
    return domain.interfaceAddresses(source, 0)


def _usable(
        raw: dict[str, Any], source: str) -> Iterator[nic_spec.FoundAddress]:
    """Yield what others can use; an agent may say anything."""
    every = [(interface.get('hwaddr'), entry.get('addr'))
             for interface in raw.values()
             for entry in interface.get('addrs') or ()]
    for mac, text in every[:_MOST]:
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(str(text))
            if not (address.is_loopback or address.is_link_local
                    or address.is_multicast or address.is_unspecified):
                yield nic_spec.FoundAddress(
                    address=str(address), source=source, mac=str(mac or ''))
