# SPDX-License-Identifier: Apache-2.0

"""Which CPUs of the host guests may use, and where they are."""

from collections.abc import Set
from typing import Any

from nova import exception as nova_exception
from nova.objects import network_metadata
from nova.objects import numa
from nova.virt import hardware

import nova.conf
from nova_libvirt_driver.spec import host as host_spec

CONF = nova.conf.CONF

_KIB_PER_MIB = 1024
_NUMA_ARCHS = ('i686', 'x86_64', 'aarch64', 'ppc64', 'ppc64le')


def shared(online: Set[int]) -> frozenset[int]:
    """Return the CPUs on which virtual CPUs float.

    :param online: CPUs of the host that are up
    :raises nova.exception.Invalid: options name others
    """
    if CONF.vcpu_pin_set:
        return _up('[DEFAULT] vcpu_pin_set',
                   hardware.get_vcpu_pin_set(), online)
    if CONF.compute.cpu_shared_set:
        return _up('[compute] cpu_shared_set',
                   hardware.get_cpu_shared_set(), online)
    return frozenset(() if CONF.compute.cpu_dedicated_set else online)


def emulator(online: Set[int]) -> frozenset[int]:
    """Return the CPUs that QEMU's own threads share, empty where none are.

    :param online: CPUs of the host that are up
    :raises nova.exception.Invalid: the option names others
    """
    # Also where vcpu_pin_set says on which CPUs virtual ones float.
    return _up('[compute] cpu_shared_set',
               hardware.get_cpu_shared_set() or set(), online)


def dedicated(online: Set[int]) -> frozenset[int]:
    """Return the CPUs of which each is for one virtual CPU alone.

    :raises nova.exception.Invalid: options name others
    """
    if not CONF.compute.cpu_dedicated_set:
        return frozenset()
    return _up('[compute] cpu_dedicated_set',
               hardware.get_cpu_dedicated_set(), online)


def topology(
        facts: host_spec.HostFacts, online: Set[int]
) -> numa.NUMATopology | None:
    """Return the NUMA nodes of the host, or None where there are none.

    :raises nova.exception.Invalid: options name CPUs that are not there
    :raises nova.exception.InvalidNetworkNUMAAffinity: or nodes
    """
    if facts.hypervisor_type != 'QEMU' or facts.arch not in _NUMA_ARCHS or (
            not facts.cells):
        return None
    floating = shared(online)
    own = dedicated(online)
    if not own and (CONF.vcpu_pin_set or not CONF.compute.cpu_shared_set):
        # Hosts without options for it take guests of both kinds.
        own = floating
    networks = _networks(frozenset(cell.id for cell in facts.cells))
    reserved = hardware.numa_get_reserved_huge_pages() or {}
    return numa.NUMATopology(cells=[
        _cell(cell, floating, own, networks[cell.id],
              reserved.get(cell.id, {})) for cell in facts.cells])


def _up(option: str, asked: Set[int], online: Set[int]) -> frozenset[int]:
    if not asked <= online:
        raise nova_exception.Invalid(
            f'{option} names CPUs {_text(asked - online)}, which are not '
            f'online on this host; it has {_text(online)}. Correct the '
            'option, or bring them online.')
    return frozenset(asked)


def _text(cpus: Set[int]) -> str:
    return hardware.format_cpu_spec(cpus) or 'none'


def _cell(
        cell: host_spec.HostCell, floating: frozenset[int],
        own: frozenset[int], network: network_metadata.NetworkMetadata,
        reserved: dict[int, int]) -> numa.NUMACell:
    cpus = frozenset(cpu.id for cpu in cell.cpus)
    sockets = {cpu.socket_id for cpu in cell.cpus}
    usable = cpus & (floating | own)
    siblings = {cpu.siblings & usable for cpu in cell.cpus}
    return numa.NUMACell(
        id=cell.id,
        # A node may span sockets; which one it is in cannot be said then.
        socket=sockets.pop() if len(sockets) == 1 else None,
        cpuset=set(cpus & floating), pcpuset=set(cpus & own),
        memory=cell.memory_kib // _KIB_PER_MIB,
        # The resource tracker fills in what is used.
        cpu_usage=0, pinned_cpus=set(), memory_usage=0,
        siblings=sorted((set(each) for each in siblings if each), key=min),
        mempages=[numa.NUMAPagesTopology(
            size_kb=pool.size_kib, total=pool.total, used=0,
            reserved=reserved.get(pool.size_kib, 0))
            for pool in cell.pages],
        network_metadata=network)


def _networks(
        cells: frozenset[int]
) -> dict[int, network_metadata.NetworkMetadata]:
    physnets: dict[int, set[str]] = {cell: set() for cell in cells}
    for physnet in CONF.neutron.physnets:
        group = f'neutron_physnet_{physnet}'
        nodes = getattr(CONF, group).numa_nodes
        if not nodes:
            raise nova_exception.InvalidNetworkNUMAAffinity(
                reason=f'[neutron] physnets has {physnet}, but [{group}] '
                'numa_nodes is not set')
        for node in _nodes(nodes, cells, f'[{group}]'):
            physnets[node].add(physnet)
    tunneled = _nodes(
        CONF.neutron_tunnel.numa_nodes, cells, '[neutron_tunnel]')
    return {cell: network_metadata.NetworkMetadata(
        physnets=physnets[cell], tunneled=cell in tunneled)
        for cell in cells}


def _nodes(
        named: list[Any], cells: frozenset[int], group: str) -> set[int]:
    nodes = {int(node) for node in named}
    if not nodes <= cells:
        raise nova_exception.InvalidNetworkNUMAAffinity(
            reason=f'{group} numa_nodes names {sorted(nodes - cells)}; this '
            f'host has the nodes {sorted(cells)}')
    return nodes
