# SPDX-License-Identifier: Apache-2.0

"""What a host offers, as the compute manager and placement take it."""

import dataclasses
import math
from typing import Any

from nova import conf as nova_conf
from nova import exception as nova_exception
from nova.objects import fields
from nova.virt import node
import os_resource_classes
from oslo_serialization import jsonutils

from nova_libvirt_driver.nova_plugin import processors
from nova_libvirt_driver.spec import host as host_spec

CONF = nova_conf.CONF

_GIB = 1024 ** 3


def record(
        resources: host_spec.HostResources,
        facts: host_spec.HostFacts, uptime: str) -> dict[str, Any]:
    """Return what the compute node's record is made of.

    :raises nova.exception.Invalid: options name CPUs that are not online
    """
    topology = processors.topology(facts, resources.online_cpus)
    return {
        'supported_instances': _kinds(facts),
        'vcpus': len(processors.shared(resources.online_cpus)),
        'memory_mb': resources.memory_mb,
        'local_gb': resources.local_gb,
        'vcpus_used': resources.vcpus_used,
        'memory_mb_used': resources.memory_mb_used,
        'local_gb_used': resources.local_gb_used,
        'hypervisor_type': resources.hypervisor_type,
        'hypervisor_version': resources.hypervisor_version,
        'hypervisor_hostname': resources.hypervisor_hostname,
        'uuid': node.get_local_node_uuid(),
        'cpu_info': jsonutils.dumps(_cpu(facts)),
        'disk_available_least': resources.disk_available_least,
        'pci_passthrough_devices': '[]',
        'numa_topology': None if topology is None else topology._to_json(),
        'stats': {'uptime': uptime},
    }


def update(
        tree: Any, nodename: str, resources: host_spec.HostResources,
        ratios: dict[str, float], reserved_disk_gib: int) -> None:
    """Write the host's inventory into Nova's tree of providers.

    :param ratios: allocation ratio of each resource class
    :raises nova.exception.Invalid: options name CPUs that are not online
    """
    if CONF.workarounds.reserve_disk_resource_for_image_cache:
        reserved_disk_gib += math.ceil(resources.image_cache_bytes / _GIB)
    tree.update_inventory(
        nodename, _inventory(resources, ratios, reserved_disk_gib))


def mark(tree: Any, nodename: str, traits: dict[str, bool]) -> None:
    """Give the host the traits that it has, and take those that it lacks."""
    tree.add_traits(nodename, *(name for name, has in traits.items() if has))
    tree.remove_traits(
        nodename, *(name for name, has in traits.items() if not has))


def cpu_times(times: host_spec.CpuTimes) -> dict[str, int]:
    """Return what the CPUs did, as Nova's monitor of them takes it."""
    return {'kernel': times.kernel_ns, 'user': times.user_ns,
            'idle': times.idle_ns, 'iowait': times.iowait_ns,
            'frequency': times.frequency_mhz}


def _inventory(
        resources: host_spec.HostResources, ratios: dict[str, float],
        reserved_disk_gib: int) -> dict[str, dict[str, Any]]:
    """Return the host's inventory; of a class with nothing there is none."""
    online = resources.online_cpus
    amounts = {
        os_resource_classes.VCPU: (
            len(processors.shared(online)), CONF.reserved_host_cpus),
        os_resource_classes.PCPU: (len(processors.dedicated(online)), 0),
        os_resource_classes.MEMORY_MB: (
            resources.memory_mb, CONF.reserved_host_memory_mb),
        os_resource_classes.DISK_GB: (
            resources.local_gb, reserved_disk_gib),
    }
    return {name: {'total': total, 'min_unit': 1, 'max_unit': total,
                   'step_size': 1,
                   # A CPU for one guest alone cannot be promised twice.
                   'allocation_ratio': ratios.get(name, 1),
                   # Placement refuses all of an inventory with more.
                   'reserved': min(reserved, total)}
            for name, (total, reserved) in amounts.items() if total}


def _kinds(facts: host_spec.HostFacts) -> list[tuple[str, str, str]]:
    kinds = []
    for kind in facts.guest_kinds:
        try:
            kinds.append((
                fields.Architecture.canonicalize(kind.arch),
                fields.HVType.canonicalize(kind.virt_type),
                fields.VMMode.canonicalize(kind.os_type)))
        except nova_exception.NovaException:
            # Nova knows fewer kinds than libvirt.
            continue
    return kinds


def _cpu(facts: host_spec.HostFacts) -> dict[str, Any]:
    addresses = facts.cpu_addresses
    return {
        **({} if addresses is None else {
            'maxphysaddr': dataclasses.asdict(addresses)}),
        'arch': facts.arch, 'model': facts.cpu_model,
        'vendor': facts.cpu_vendor,
        'topology': {
            'cells': len(facts.cells) or 1, 'sockets': facts.cpu_sockets,
            'cores': facts.cpu_cores, 'threads': facts.cpu_threads},
        'features': sorted(facts.cpu_features)}
