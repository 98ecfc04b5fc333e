# SPDX-License-Identifier: Apache-2.0

"""What stays the same about the host while a connection lives."""

from collections.abc import Callable
import dataclasses
import math
from typing import TypeVar
from urllib import parse

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.calls import shared
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.host import cpu_features
from nova_libvirt_driver.host import host_capabilities
from nova_libvirt_driver.spec import host
from nova_libvirt_driver.xmlmodel import capabilities

LOG = logging.getLogger(__name__)

_ARCH, _MEMORY_MIB, _CPUS = 0, 1, 2
_NODES, _SOCKETS, _CORES, _THREADS = 4, 5, 6, 7

_ONLINE = '/sys/devices/system/cpu/online'

T = TypeVar('T')
_Mark = tuple[int, int, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Plugged:
    """What of a host changes while a connection lives."""

    memory_mib: int
    online: tuple[bool, ...]
    """For each CPU, whether it is online."""


class Facts:
    """Reads the facts once for each connection and keeps them.

    :param online_here: returns something that changes when other CPUs of
        this machine are online
    """

    def __init__(
            self, link: link_module.Link,
            online_here: Callable[[], str] | None = None) -> None:
        self._link = link
        self._online_here = online_here or _online_here
        self._online: tuple[_Mark, tuple[bool, ...]] | None = None
        self._facts = once(link, self._read)
        self._identity = once(link, lambda: link.call(
            'ask which host it is', _identity))

    def get(self) -> host.HostFacts:
        """Return the facts.

        :raises HypervisorUnavailable: there is no connection
        """
        # A lost connection is an error, whatever is remembered of it.
        self._link.connection()
        return self._facts.get().value

    def identity(self) -> tuple[str, str]:
        """Return the canonical URI, and of another machine the host's uuid.

        One call for each connection.

        :raises HypervisorUnavailable: there is no connection
        """
        return self._identity.get().value

    def plugged(self) -> Plugged:
        """Return what of the host may be plugged, as it is now.

        One call, and one more when other CPUs are online than before.

        :raises HypervisorUnavailable: there is no connection
        """
        generation = self._link.current.generation
        info = self._link.look(
            'ask how much memory the host has', lambda conn: conn.getInfo())
        # The number alone stays the same when one goes and another comes.
        mark = (generation, int(info[_CPUS]), self._online_here())
        known = self._online
        if known is None or known[0] != mark:
            known = mark, tuple(self._link.look(
                'ask which CPUs are online',
                lambda conn: conn.getCPUMap()[1]))
            self._online = known
        return Plugged(memory_mib=int(info[_MEMORY_MIB]), online=known[1])

    def _read(self) -> host.HostFacts:
        generation, here = self._link.current.generation, self._online_here()
        # On a connection of its own: libvirt may have to run each of its
        # emulators once before it can say what they are.
        found = self._link.call('read the facts of the host', _read)
        for words in found.odd_nodes:
            # Not where they are read: that is a native thread.
            LOG.warning('Leaving out a NUMA node of the host, libvirt\'s '
                        'description of it makes no sense: %s', words)
        if found.online is not None:
            self._online = (
                (generation, found.facts.cpus, here), found.online)
        return found.facts


def once(link: link_module.Link, ask: Callable[[], T]) -> shared.Shared[T]:
    """Return the answer to a question that is asked once a connection."""
    return shared.Shared(
        ask, max_age_s=math.inf,
        generation=lambda: link.current.generation)


def _online_here() -> str:
    try:
        with open(_ONLINE, encoding='ascii') as file:
            return file.read()
    except (OSError, ValueError):
        return ''


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    facts: host.HostFacts
    odd_nodes: tuple[str, ...]
    """What is wrong with each NUMA node that was left out."""
    online: tuple[bool, ...] | None


def _identity(connection: protocol.Connection) -> tuple[str, str]:
    uri = connection.getURI()
    if not parse.urlsplit(uri).netloc:
        # On this machine. An embedded hypervisor, and one that cannot read
        # the machine's, makes up another uuid at each start.
        return uri, ''
    return uri, capabilities.Capabilities.parse(
        connection.getCapabilities()).uuid or ''


def _read(connection: protocol.Connection) -> _Found:
    info = connection.getInfo()
    said = capabilities.Capabilities.parse(connection.getCapabilities())
    cells, odd_nodes = host_capabilities.cells(said)
    facts = host.HostFacts(
        hostname=connection.getHostname(),
        hypervisor_type=connection.getType(),
        hypervisor_version=connection.getVersion(),
        libvirt_version=connection.getLibVersion(),
        uri=connection.getURI(),
        arch=said.cpu.arch or str(info[_ARCH]),
        cpus=info[_CPUS], memory_mib=info[_MEMORY_MIB],
        cpu_model=said.cpu.model or '',
        # Libvirt counts those of one NUMA node.
        cpu_sockets=info[_NODES] * info[_SOCKETS], cpu_cores=info[_CORES],
        cpu_threads=info[_THREADS],
        cpu_vendor=said.cpu.vendor or '',
        cpu_features=cpu_features.expanded(connection, said.cpu),
        cpu_addresses=host_capabilities.addresses(said.cpu),
        cells=cells, guest_kinds=host_capabilities.guest_kinds(said))
    return _Found(facts, odd_nodes, _online(connection))


def _online(connection: protocol.Connection) -> tuple[bool, ...] | None:
    try:
        return tuple(connection.getCPUMap()[1])
    except libvirt.libvirtError as error:
        if errors.is_unsupported(error):
            # Callers that need it get the error.
            return None
        raise
