# SPDX-License-Identifier: Apache-2.0

"""The audit of the host: what it has, and what of it is in use."""

from collections.abc import Callable
import dataclasses

import libvirt
import psutil

from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.guest import inventory as inventory_module
from nova_libvirt_driver.host import facts as facts_module
from nova_libvirt_driver.spec import disk
from nova_libvirt_driver.spec import host

_MIB = 1024 ** 2
_GIB = 1024 ** 3

_FREQUENCY_MHZ = 3

_TEST_TYPE = 'TEST'


@dataclasses.dataclass(frozen=True, slots=True)
class Audit:
    """Makes :class:`~nova_libvirt_driver.spec.host.HostResources`.

    :param survey: looks at the files of the instances
    :param memory_mib: memory for guests if it is not that of the host; 0 if
        it is
    """

    link: link_module.Link
    facts: facts_module.Facts
    inventory: inventory_module.Inventory
    survey: Callable[[], disk.DiskRoom]
    _: dataclasses.KW_ONLY
    memory_mib: int = 0

    def run(self) -> host.HostResources:
        """Audit the host.

        However many guests there are, one call; two more when one was
        started since the last time, or one more while no events arrive, and
        one more when other CPUs are online than before.

        :raises HypervisorUnavailable: there is no connection
        :raises StorageFailure: the folder of the instances does not answer
        """
        facts = self.facts.get()
        guests = self.inventory.sizes()
        plugged = self.facts.plugged()
        online = plugged.online
        room = self.survey()
        return host.HostResources(
            hypervisor_hostname=facts.hostname,
            hypervisor_type=facts.hypervisor_type,
            hypervisor_version=facts.hypervisor_version,
            vcpus=_cpus(facts, online),
            vcpus_used=sum(guest.vcpus or 0 for guest in guests),
            memory_mb=self.memory_mib or plugged.memory_mib,
            memory_mb_used=self._memory_used_mib(facts, guests),
            local_gb=room.total_bytes // _GIB,
            local_gb_used=room.used_bytes // _GIB,
            disk_available_least=(
                room.free_bytes - room.growth_bytes) // _GIB,
            image_cache_bytes=room.image_cache_bytes,
            running_instances=len(guests),
            online_cpus=frozenset(
                cpu for cpu, up in enumerate(online) if up))

    def cpu_times(self) -> host.CpuTimes:
        """Return what the CPUs of the host did since it was started.

        :raises HypervisorUnavailable: there is no connection
        """
        times, frequency_mhz = self.link.look(
            'read the times of the CPUs', lambda conn: (
                conn.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS),
                conn.getInfo()[_FREQUENCY_MHZ]))
        return host.CpuTimes(
            kernel_ns=times['kernel'], user_ns=times['user'],
            idle_ns=times['idle'], iowait_ns=times['iowait'],
            frequency_mhz=frequency_mhz)

    def _memory_used_mib(
            self, facts: host.HostFacts,
            guests: list[inventory_module.Size]) -> int:
        """Return memory in use in MiB, without what only caches files."""
        if self.memory_mib or facts.hypervisor_type == _TEST_TYPE:
            # Guests of libvirt's test driver take none of this machine's
            # memory, and its free memory is in KiB (libvirt 9.0).
            return sum(guest.memory_mib or 0 for guest in guests)
        # Libvirt's own figure counts the page cache as used.
        memory = psutil.virtual_memory()
        return int(memory.total - memory.available) // _MIB


def _cpus(facts: host.HostFacts, online: tuple[bool, ...]) -> int:
    # Libvirt's test driver has no such map of the CPUs it pretends to have.
    if facts.hypervisor_type == _TEST_TYPE:
        return facts.cpus
    return sum(online)
