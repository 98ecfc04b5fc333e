# SPDX-License-Identifier: Apache-2.0

"""Virtual CPUs of a guest, and where on the host they run."""

from collections.abc import Iterable
from collections.abc import Set
import dataclasses
from typing import Any

from nova.objects import fields
from nova.virt import hardware

import nova.conf
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import processors
from nova_libvirt_driver.nova_plugin import quota
from nova_libvirt_driver.nova_plugin import traits
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import host as host_spec

CONF = nova.conf.CONF

_Policy = fields.CPUEmulatorThreadsPolicy


def spec(
        instance: Any, image_meta: Any,
        cells: tuple[host_spec.HostCell, ...]) -> cpu_spec.CpuSpec:
    """Return what Nova's scheduler and the flavor have decided.

    :param cells: NUMA nodes of the host
    :raises nova.exception.Invalid: options name CPUs that are not there
    :raises InvalidRequest: no CPUs are left for QEMU's own threads
    """
    flavor = instance.flavor
    topology = hardware.get_best_cpu_topology(flavor, image_meta)
    found = cpu_spec.CpuSpec(
        vcpus=flavor.vcpus,
        topology=cpu_spec.CpuTopology(
            sockets=topology.sockets, cores=topology.cores,
            threads=topology.threads),
        needed_flags=traits.needed_flags(flavor),
        tune=quota.cpu(flavor.extra_specs or {}),
        max_address=_max_address(flavor.extra_specs or {}, image_meta))
    online = frozenset(cpu.id for cell in cells for cpu in cell.cpus)
    if instance.numa_topology is None:
        # Without an option that names them, all CPUs are the kernel's to use.
        named = CONF.vcpu_pin_set or CONF.compute.cpu_shared_set
        return dataclasses.replace(
            found, host_cpus=processors.shared(online) if named
            else frozenset())
    realtime = frozenset(
        hardware.get_realtime_cpu_constraint(flavor, image_meta) or ())
    pins = tuple(_pins(
        instance.numa_topology, cells, processors.shared(online)))
    return dataclasses.replace(
        found, cells=tuple(_cells(instance.numa_topology, cells)), pins=pins,
        realtime_vcpus=realtime,
        realtime_priority=CONF.libvirt.realtime_scheduler_priority,
        emulator_cpus=_emulator(
            instance.numa_topology, online,
            [pin for pin in pins if pin.vcpu not in realtime]))


def is_realtime(instance: Any, image_meta: Any) -> bool:
    """Say whether some of the virtual CPUs must not wait."""
    return bool(hardware.get_realtime_cpu_constraint(
        instance.flavor, image_meta))


def _max_address(
        extra_specs: Any, image_meta: Any) -> cpu_spec.MaxAddress | None:
    def asked(name: str) -> Any:
        return extra_specs.get(f'hw:maxphysaddr_{name}') or (
            image_meta.properties.get(f'hw_maxphysaddr_{name}'))

    mode, bits = asked('mode'), asked('bits')
    if not mode:
        return None
    return cpu_spec.MaxAddress(
        mode=str(mode), bits=int(bits) if bits else None)


def _cells(
        topology: Any, cells: tuple[host_spec.HostCell, ...]
) -> Iterable[cpu_spec.NumaCell]:
    usual_kib = min((pool.size_kib for cell in cells for pool in cell.pages),
                    default=None)
    # Nova has the number of the host's node where libvirt counts the guest's.
    for number, cell in enumerate(topology.cells):
        huge = cell.pagesize is not None and cell.pagesize != usual_kib
        yield cpu_spec.NumaCell(
            id=number, vcpus=frozenset(cell.total_cpus),
            memory_mib=cell.memory, host_node=cell.id if cells else None,
            page_size_kib=cell.pagesize if huge else None,
            # Interfaces of the kind vhost-user read it.
            shared_memory=huge)


def _pins(
        topology: Any, cells: tuple[host_spec.HostCell, ...],
        shared: Set[int]) -> Iterable[cpu_spec.VcpuPin]:
    of_node = {cell.id: frozenset(cpu.id for cpu in cell.cpus) & shared
               for cell in cells}
    for cell in topology.cells:
        own = cell.cpu_pinning or {}
        floating = of_node.get(cell.id, frozenset())
        for vcpu in sorted(cell.total_cpus):
            host_cpus = (
                frozenset((own[vcpu],)) if vcpu in own else floating)
            if host_cpus:
                yield cpu_spec.VcpuPin(vcpu=vcpu, host_cpus=host_cpus)


def _emulator(
        topology: Any, online: Set[int],
        pins: list[cpu_spec.VcpuPin]) -> frozenset[int]:
    """Return where QEMU's own threads run: beside what must not wait.

    :raises InvalidRequest: there is no such place
    """
    policy = topology.emulator_threads_policy
    found: frozenset[int] = frozenset()
    if policy == _Policy.ISOLATE:
        found = found.union(
            *(cell.cpuset_reserved or () for cell in topology.cells))
    else:
        if policy == _Policy.SHARE:
            found = processors.emulator(online)
        found = found or found.union(*(pin.host_cpus for pin in pins))
    if policy and not found:
        # Anywhere, they would run on what is set apart for others.
        raise exception.InvalidRequest(
            reason=f'hw:emulator_threads_policy is {policy}, and no CPUs are '
            "left for QEMU's own threads: set [compute] cpu_shared_set, or "
            'leave a virtual CPU out of hw:cpu_realtime_mask')
    return found
