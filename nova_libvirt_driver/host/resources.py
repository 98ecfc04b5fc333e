# SPDX-License-Identifier: Apache-2.0

"""The audit of the host: what it has, and what of it is in use."""

import os
import pathlib
from typing import Protocol

import libvirt
import psutil

from nova_libvirt_driver.connection import supervisor as supervisor_module
from nova_libvirt_driver.guest import inventory as inventory_module
from nova_libvirt_driver.host import facts as facts_module
from nova_libvirt_driver.spec import host
from nova_libvirt_driver.spec import instance

_MIB = 1024 ** 2
_GIB = 1024 ** 3

_MEMORY_MIB, _CPUS, _FREQUENCY_MHZ = 1, 2, 3

_UP = (instance.PowerState.RUNNING, instance.PowerState.PAUSED,
       instance.PowerState.SUSPENDED)

_TEST_TYPE = 'TEST'


class DiskFiles(Protocol):
    """What is known of the files of instances."""

    def growth_bytes(self) -> int: ...

    def image_cache_bytes(self) -> int: ...


class Audit:
    """Makes :class:`~nova_libvirt_driver.spec.host.HostResources`.

    :param memory_mib: memory for guests if it is not that of the host; 0 if
        it is
    """

    def __init__(
            self, supervisor: supervisor_module.Supervisor,
            facts: facts_module.Facts,
            inventory: inventory_module.Inventory, files: DiskFiles, *,
            instances_path: str, memory_mib: int = 0) -> None:
        self._supervisor = supervisor
        self._facts = facts
        self._inventory = inventory
        self._files = files
        self._instances_path = instances_path
        self._memory_mib = memory_mib

    def run(self) -> host.HostResources:
        """Audit the host.

        A constant number of calls, however many guests there are.

        :raises HypervisorUnavailable: there is no connection
        """
        facts = self._facts.get()
        guests = [guest for guest in self._inventory.sizes()
                  if guest.state in _UP]
        info, online = self._supervisor.look(
            'read the size of the host',
            lambda conn: (conn.getInfo(), conn.getCPUMap()[1]))
        disk = _disk(self._instances_path)
        return host.HostResources(
            hypervisor_hostname=facts.hostname,
            hypervisor_type=facts.hypervisor_type,
            hypervisor_version=facts.hypervisor_version,
            vcpus=info[_CPUS],
            vcpus_used=sum(guest.vcpus or 0 for guest in guests),
            memory_mb=self._memory_mib or info[_MEMORY_MIB],
            memory_mb_used=self._memory_used_mib(facts, guests),
            local_gb=disk.total // _GIB,
            local_gb_used=disk.used // _GIB,
            disk_available_least=(
                disk.free - self._files.growth_bytes()
            ) // _GIB,
            image_cache_bytes=self._files.image_cache_bytes(),
            running_instances=len(guests),
            # Libvirt's test driver counts others.
            online_cpus=frozenset(
                cpu for cpu, up in enumerate(online) if up))

    def cpu_times(self) -> host.CpuTimes:
        """Return what the CPUs of the host did since it was started.

        :raises HypervisorUnavailable: there is no connection
        """
        times, frequency_mhz = self._supervisor.look(
            'read the times of the CPUs', lambda conn: (
                conn.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS),
                conn.getInfo()[_FREQUENCY_MHZ]))
        return host.CpuTimes(
            kernel_ns=times['kernel'], user_ns=times['user'],
            idle_ns=times['idle'], iowait_ns=times['iowait'],
            frequency_mhz=frequency_mhz)

    def _memory_used_mib(
            self, facts: host.HostFacts,
            guests: list[instance.InstanceSummary]) -> int:
        """Return memory in use in MiB, without what only caches files."""
        if self._memory_mib or facts.hypervisor_type == _TEST_TYPE:
            # Guests of libvirt's test driver take none of this machine's
            # memory, and its free memory is in KiB (libvirt 9.0).
            return sum(guest.memory_mib or 0 for guest in guests)
        # Libvirt's own figure counts the page cache as used.
        memory = psutil.virtual_memory()
        return int(memory.total - memory.available) // _MIB


def _disk(path: str) -> psutil._ntuples.sdiskusage:
    """Return the use of the file system that has, or will have, *path*."""
    folder = pathlib.Path(path)
    while not os.path.isdir(folder):
        folder = folder.parent
    return psutil.disk_usage(str(folder))
