# SPDX-License-Identifier: Apache-2.0

"""The audit of the host: what it has, and what of it is in use."""

import os
import pathlib

import psutil

from nova_libvirt_driver.connection import supervisor as supervisor_module
from nova_libvirt_driver.guest import inventory as inventory_module
from nova_libvirt_driver.host import facts as facts_module
from nova_libvirt_driver.spec import host
from nova_libvirt_driver.spec import instance

_MIB = 1024 ** 2
_GIB = 1024 ** 3

_MEMORY_MIB, _CPUS = 1, 2

_UP = (instance.PowerState.RUNNING, instance.PowerState.PAUSED,
       instance.PowerState.SUSPENDED)

_TEST_TYPE = 'TEST'


class Audit:
    """Makes :class:`~nova_libvirt_driver.spec.host.HostResources`."""

    def __init__(
            self, supervisor: supervisor_module.Supervisor,
            facts: facts_module.Facts,
            inventory: inventory_module.Inventory, *,
            instances_path: str) -> None:
        self._supervisor = supervisor
        self._facts = facts
        self._inventory = inventory
        self._instances_path = instances_path

    def run(self) -> host.HostResources:
        """Audit the host.

        A constant number of calls, however many guests there are.

        :raises HypervisorUnavailable: there is no connection
        """
        facts = self._facts.get()
        guests = [guest for guest in self._inventory.sizes()
                  if guest.state in _UP]
        with self._supervisor.using('read the size of the host') as conn:
            info = conn.getInfo()
        disk = _disk(self._instances_path)
        return host.HostResources(
            hypervisor_hostname=facts.hostname,
            hypervisor_type=facts.hypervisor_type,
            hypervisor_version=facts.hypervisor_version,
            vcpus=info[_CPUS],
            vcpus_used=sum(guest.vcpus or 0 for guest in guests),
            memory_mb=info[_MEMORY_MIB],
            memory_mb_used=_memory_used_mib(facts, guests),
            local_gb=disk.total // _GIB,
            local_gb_used=disk.used // _GIB,
            running_instances=len(guests))


def _memory_used_mib(
        facts: host.HostFacts,
        guests: list[instance.InstanceSummary]) -> int:
    """Return memory in use in MiB, without what only caches files."""
    if facts.hypervisor_type == _TEST_TYPE:
        # Its guests take none of this machine's memory, and the free
        # memory that it reports is in KiB (libvirt 9.0).
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
