# SPDX-License-Identifier: Apache-2.0

"""What a host offers, as the compute manager and placement take it."""

from typing import Any

from nova import conf as nova_conf
from nova.virt import node
import os_resource_classes
from oslo_serialization import jsonutils

from nova_libvirt_driver.spec import host as host_spec

CONF = nova_conf.CONF


def record(
        resources: host_spec.HostResources,
        facts: host_spec.HostFacts, uptime: str) -> dict[str, Any]:
    """Return what the compute node's record is made of."""
    return {
        'supported_instances': [[facts.arch, virt_type(), 'hvm']],
        'vcpus': resources.vcpus,
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
        'disk_available_least': resources.local_gb - resources.local_gb_used,
        'pci_passthrough_devices': '[]',
        'numa_topology': None,
        'stats': {'uptime': uptime},
    }


def virt_type() -> str:
    """Return the kind of virtualization that guests get."""
    return str(CONF.libvirt.virt_type)


def inventory(
        resources: host_spec.HostResources, ratios: dict[str, float],
        reserved_disk_gib: int) -> dict[str, dict[str, Any]]:
    """Return the host's inventory; of a class with nothing there is none.

    :param ratios: allocation ratio of each resource class
    """
    amounts = {
        os_resource_classes.VCPU: (
            resources.vcpus, CONF.reserved_host_cpus),
        os_resource_classes.MEMORY_MB: (
            resources.memory_mb, CONF.reserved_host_memory_mb),
        os_resource_classes.DISK_GB: (
            resources.local_gb, reserved_disk_gib),
    }
    return {name: {'total': total, 'min_unit': 1, 'max_unit': total,
                   'step_size': 1, 'allocation_ratio': ratios[name],
                   'reserved': reserved}
            for name, (total, reserved) in amounts.items() if total}


def _cpu(facts: host_spec.HostFacts) -> dict[str, Any]:
    return {
        'arch': facts.arch, 'model': facts.cpu_model,
        'topology': {'cells': 1, 'sockets': facts.cpu_sockets,
                     'cores': facts.cpu_cores, 'threads': facts.cpu_threads}}
