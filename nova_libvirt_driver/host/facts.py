# SPDX-License-Identifier: Apache-2.0

"""What stays the same about the host while a connection lives."""

import threading

from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.connection import protocol
from nova_libvirt_driver.host import cpu_features
from nova_libvirt_driver.host import host_capabilities
from nova_libvirt_driver.host import topology
from nova_libvirt_driver.spec import host

_ARCH, _MEMORY_MIB, _CPUS = 0, 1, 2
_SOCKETS, _CORES, _THREADS = 5, 6, 7


class Facts:
    """Reads the facts once for each connection and keeps them."""

    def __init__(self, link: link_module.Link) -> None:
        self._link = link
        self._supervisor = link.supervisor
        # Held to swap the pair below, never while libvirt is asked.
        self._lock = threading.Lock()
        self._generation = 0
        self._facts: host.HostFacts | None = None

    def get(self) -> host.HostFacts:
        """Return the facts.

        :raises HypervisorUnavailable: there is no connection
        """
        # Read first: facts of a later connection then count as outdated.
        generation = self._supervisor.generation
        # A lost connection is an error, whatever is remembered of it.
        self._supervisor.connection()
        with self._lock:
            if self._facts is not None and self._generation == generation:
                return self._facts
        # On a connection of its own: libvirt may have to run each of its
        # emulators once before it can say what they are.
        facts = self._link.call('read the facts of the host', _read)
        with self._lock:
            self._generation, self._facts = generation, facts
        return facts


def _read(connection: protocol.Connection) -> host.HostFacts:
    info = connection.getInfo()
    capabilities = host_capabilities.parse_xml(connection.getCapabilities())
    cpu = 'host/cpu'
    return host.HostFacts(
        hostname=connection.getHostname(),
        hypervisor_type=connection.getType(),
        hypervisor_version=connection.getVersion(),
        libvirt_version=connection.getLibVersion(),
        uri=connection.getURI(),
        arch=capabilities.findtext(f'{cpu}/arch', default=str(info[_ARCH])),
        cpus=info[_CPUS], memory_mib=info[_MEMORY_MIB],
        cpu_model=capabilities.findtext(f'{cpu}/model', default=''),
        cpu_sockets=info[_SOCKETS], cpu_cores=info[_CORES],
        cpu_threads=info[_THREADS],
        cpu_vendor=capabilities.findtext(f'{cpu}/vendor', default=''),
        cpu_features=cpu_features.expanded(
            connection, capabilities.find(cpu)),
        cpu_addresses=topology.addresses(capabilities.find(cpu)),
        cells=topology.cells(capabilities),
        guest_kinds=topology.guest_kinds(capabilities))
