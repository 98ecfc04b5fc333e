# SPDX-License-Identifier: Apache-2.0

"""A connection to libvirt without libvirt, for tests of the connection.

Owns a hypervisor in memory, connections to it and the domains they hand
out, with the errors of a real remote connection. It runs no guest, knows no
XML beyond a few elements and has only those methods that the driver calls.
Callbacks run on the thread that causes them, as the library's may.
"""

from collections.abc import Callable
import dataclasses
from typing import Any
import uuid as uuid_module

import libvirt

from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver.testing import fake_auth
from nova_libvirt_driver.testing import fake_devices
from nova_libvirt_driver.testing import fake_domain
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_guest
from nova_libvirt_driver.testing import fake_secret
from nova_libvirt_driver.testing import fake_xml

libvirt_error = fake_fault.libvirt_error
Guest = fake_guest.Guest
FakeDomain = fake_domain.FakeDomain

_CAPABILITIES = (
    '<capabilities><host><cpu><arch>x86_64</arch></cpu></host>'
    '</capabilities>')

_ACTIVE = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
_INACTIVE = libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE
_SAVED = libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE


@dataclasses.dataclass(frozen=True, slots=True)
class _Callback:
    event_id: int
    function: Callable[..., Any]
    opaque: Any
    guest: Guest | None


class FakeHypervisor:
    """A host with guests; several connections to it see the same.

    :param keepalive: connections support keepalive
    :param events: connections support domain events
    :param wait: how a call hangs
    """

    def __init__(
        self, hostname: str = 'fake-host', *, keepalive: bool = True,
        events: bool = True, wait: fake_fault.Wait = fake_fault.poll,
    ) -> None:
        self.hostname = hostname
        self.keepalive = keepalive
        self.events = events
        self.capabilities = _CAPABILITIES
        # MiB, CPUs, MHz, nodes, sockets of a node, cores, threads.
        self.node_info = [8192, 4, 2400, 1, 1, 4, 1]
        self.online_cpus = [True] * 4
        self.domain_capabilities: str | None = None
        self.baseline_cpu: str | None = None
        """XML text; None is a driver that has no such function."""
        self.faults = fake_fault.Faults(wait)
        self.guests: list[Guest] = []
        self.secrets: list[fake_secret.Kept] = []
        self.others: dict[str, 'FakeHypervisor'] = {}
        """Other hosts, or this one, by the URIs that lead to them."""
        self.connections: list['FakeConnection'] = []
        """Every connection ever opened, in this order."""
        self._lock = runtime.original('threading').Lock()
        self._next_id = 1
        self._refusal: Exception | None = None
        self._credentials: tuple[str, str] | None = None

    # What a test arranges.

    def add_guest(
        self, name: str, *, state: int = libvirt.VIR_DOMAIN_RUNNING,
        uuid: str | None = None, owned: bool = False, xml: str = '',
    ) -> Guest:
        """Make a guest; sends no event.

        :param owned: with metadata that makes it one of ours
        :param xml: its definition; default is the least there can be
        """
        uuid = uuid or str(uuid_module.uuid4())
        guest = Guest(
            name, uuid, state,
            definition=xml or fake_xml.minimal(name, uuid, owned=owned))
        if guest.active:
            guest.id = self.new_id()
        self.guests.append(guest)
        return guest

    def remove_guest(self, guest: Guest) -> None:
        """Forget a guest; sends no event."""
        self.guests.remove(guest)

    def refuse_connections(self, error: Exception | None = None) -> None:
        """Let every attempt to connect fail until told otherwise.

        :param error: default is what a missing daemon causes
        """
        self._refusal = error or libvirt_error(
            libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC,
            "Failed to connect socket to '/run/libvirt/libvirt-sock': "
            'Connection refused')

    def accept_connections(self) -> None:
        """End a time of refused connections."""
        self._refusal = None

    def require_credentials(self, username: str, password: str) -> None:
        """Ask everyone who connects for a name and a password."""
        self._credentials = (username, password)

    def fail_next(self, method: str, error: Exception) -> None:
        """Let one call of a connection's or domain's method raise.

        :param method: its name, or ``openAuth``
        """
        self.faults.fail_next(method, error)

    def block(
            self, method: str, times: int | None = None) -> fake_fault.Hang:
        """Let calls of the method hang until the returned hang ends.

        :param times: how many of them, None for all
        """
        return self.faults.block(method, times)

    def break_next(
        self, method: str,
        reason: int = libvirt.VIR_CONNECT_CLOSE_REASON_EOF,
    ) -> None:
        """Break the connection inside the next call of the method.

        The close callback runs on the thread that is inside that call, as
        it does when the library reads the end of its socket there.
        """
        self.faults.break_next(method, reason)

    def break_connections(
        self, reason: int = libvirt.VIR_CONNECT_CLOSE_REASON_EOF
    ) -> None:
        """Break every live connection, as the end of the daemon does."""
        for connection in self.live_connections():
            connection.break_(reason)

    def emit(self, event_id: int, guest: Guest, *args: object) -> None:
        """Send an event to everyone who subscribed to it.

        :param args: what the callback gets between domain and opaque
        """
        for connection in self.live_connections():
            connection.dispatch(event_id, guest, *args)

    def connect_agent(self, guest: Guest) -> None:
        """Let the agent in a guest open its channel."""
        guest.agent = True
        self.emit(
            libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, guest,
            libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED,
            libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_CHANNEL)

    def complete_unplugs(self, guest: Guest) -> None:
        """Let a guest let go of what it was asked for, and say so."""
        pending, guest.hotplug.pending = guest.hotplug.pending, set()
        for alias in sorted(pending):
            guest.live = fake_devices.without(
                fake_devices.named(guest.live), alias)
            self.emit(libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, guest,
                      alias)

    def complete_copies(self) -> None:
        """Let every copy of a disk catch up with it, and say so."""
        for guest in self.guests:
            for target_dev, job in guest.jobs.items():
                if not job.ready:
                    job.ready = True
                    self._emit_copy(guest, target_dev,
                                    libvirt.VIR_DOMAIN_BLOCK_JOB_READY)

    def fail_copies(self) -> None:
        """Let every copy of a disk end early, as without room."""
        for guest in self.guests:
            failed = list(guest.jobs)
            guest.jobs.clear()
            for target_dev in failed:
                self._emit_copy(guest, target_dev,
                                libvirt.VIR_DOMAIN_BLOCK_JOB_FAILED)

    def _emit_copy(self, guest: Guest, target_dev: str, status: int) -> None:
        self.emit(libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, guest, target_dev,
                  libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COPY, status)

    # What a test asserts.

    @property
    def calls(self) -> dict[str, int]:
        """Number of calls by the name of the method."""
        return dict(self.faults.calls)

    def live_connections(self) -> list['FakeConnection']:
        """Connections that were opened and are neither broken nor closed."""
        return [one for one in self.connections if one.live]

    def unclosed_connections(self) -> list['FakeConnection']:
        """Connections that nobody closed, broken ones included."""
        return [one for one in self.connections if not one.closed]

    def callback_count(self) -> int:
        """Registered callbacks of all connections, closed ones included.

        The library keeps a closed connection for as long as it has any.
        """
        return sum(one.callback_count for one in self.connections)

    # What stands in for the library.

    def open_auth(
        self, uri: str, auth: fake_auth.Auth, flags: int = 0
    ) -> 'FakeConnection':
        """Stand in for ``libvirt.openAuth``."""
        if self.others.get(uri, self) is not self:
            return self.others[uri].open_auth(uri, auth, flags)
        self.faults.enter('openAuth')
        if self._refusal is not None:
            raise self._refusal
        if self._credentials is not None:
            fake_auth.demand(auth, *self._credentials)
        connection = FakeConnection(
            self, uri, read_only=bool(flags & libvirt.VIR_CONNECT_RO))
        self.connections.append(connection)
        return connection

    def define(self, xml: str) -> tuple[Guest, int]:
        """Take a definition; return its guest and the event's detail."""
        try:
            name, uuid = fake_xml.identity(xml)
        except ValueError as error:
            raise libvirt_error(
                libvirt.VIR_ERR_XML_ERROR, libvirt.VIR_FROM_DOMAIN,
                f'XML error: {error}') from error
        uuid = uuid or str(uuid_module.uuid4())
        for guest in self.guests:
            if (guest.name == name) != (guest.uuid == uuid):
                raise libvirt_error(
                    libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_FROM_DOMAIN,
                    f"operation failed: domain '{guest.name}' already "
                    f'exists with uuid {guest.uuid}')
        for guest in self.guests:
            if guest.uuid == uuid:
                guest.definition, guest.persistent = xml, True
                return guest, libvirt.VIR_DOMAIN_EVENT_DEFINED_UPDATED
        guest = self.add_guest(
            name, uuid=uuid, xml=xml, state=libvirt.VIR_DOMAIN_SHUTOFF)
        guest.memory_kib = fake_xml.memory_kib(xml, guest.memory_kib)
        return guest, libvirt.VIR_DOMAIN_EVENT_DEFINED_ADDED

    def new_id(self) -> int:
        """Return the id for a guest that starts."""
        with self._lock:
            number = self._next_id
            self._next_id += 1
        return number


class FakeConnection:
    """Stand in for ``libvirt.virConnect``."""

    def __init__(
        self, hypervisor: FakeHypervisor, uri: str, *,
        read_only: bool = False,
    ) -> None:
        self.hypervisor = hypervisor
        self.read_only = read_only
        self.keepalive: tuple[int, int] | None = None
        self.closed = False
        self.broken = False
        self._uri = uri
        self._lock = runtime.original('threading').Lock()
        self._callbacks: dict[int, _Callback] = {}
        self._next_callback_id = 0
        self._close_callback: tuple[Callable[..., Any], Any] | None = None

    # What a test arranges and asserts.

    @property
    def live(self) -> bool:
        """Neither closed nor broken."""
        return not (self.closed or self.broken)

    @property
    def callback_count(self) -> int:
        """Registered callbacks, the close callback included."""
        return len(self._callbacks) + (self._close_callback is not None)

    def break_(
        self, reason: int = libvirt.VIR_CONNECT_CLOSE_REASON_EOF
    ) -> None:
        """Cut the link and run the close callback on this thread.

        From now on calls raise what they raise on a dead socket.
        """
        with self._lock:
            if self.closed or self.broken:
                return
            self.broken = True
            callback = self._close_callback
        if callback is not None:
            function, opaque = callback
            function(self, reason, opaque)
        # The library forgets a close callback that has run.
        self._close_callback = None

    def dispatch(self, event_id: int, guest: Guest, *args: object) -> None:
        """Run the callbacks for an event on this thread."""
        with self._lock:
            callbacks = list(self._callbacks.values())
        for one in callbacks:
            if one.event_id == event_id and one.guest in (None, guest):
                one.function(self, FakeDomain(self, guest), *args,
                             one.opaque)

    def enter(self, method: str, c_name: str, *, write: bool = False) -> None:
        """Begin a call that goes to the hypervisor."""
        self._check_open(c_name)
        if write and self.read_only:
            raise libvirt_error(
                libvirt.VIR_ERR_OPERATION_DENIED, libvirt.VIR_FROM_DOM,
                f'operation forbidden: read only access prevents {c_name}')
        reason = self.hypervisor.faults.enter(method)
        if reason is not None:
            self.break_(reason)
        if self.broken:
            raise libvirt_error(
                libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC,
                'internal error: client socket is closed')
        # Closed by another thread while this call was under way.
        self._check_open(c_name)

    def _enter(self, method: str) -> None:
        self.enter(method, f'virConnect{method[0].upper()}{method[1:]}')

    def _check_open(self, c_name: str) -> None:
        if self.closed:
            raise libvirt_error(
                libvirt.VIR_ERR_INVALID_CONN, libvirt.VIR_FROM_DOM,
                f'invalid connection pointer in {c_name}')

    # What the library has: the link.

    def close(self) -> int:
        """Close; nobody else holds a reference, so 0 remain."""
        self._check_open('virConnectClose')
        self.hypervisor.faults.enter('close')
        self.closed = True
        return 0

    def isAlive(self) -> int:
        """1 until the link is cut, then 0; asks nobody."""
        self._check_open('virConnectIsAlive')
        return int(not self.broken)

    def setKeepAlive(self, interval: int, count: int) -> int:
        """Take note of the values."""
        self._enter('setKeepAlive')
        if not self.hypervisor.keepalive:
            raise fake_fault.no_support('virConnectSetKeepAlive')
        self.keepalive = (interval, count)
        return 0

    def registerCloseCallback(
        self, cb: Callable[..., Any], opaque: object
    ) -> int:
        """Register the one close callback."""
        self._enter('registerCloseCallback')
        if self._close_callback is not None:
            raise fake_fault.invalid('A close callback is already registered')
        self._close_callback = (cb, opaque)
        return 0

    def unregisterCloseCallback(self) -> int:
        """Forget the close callback."""
        self._enter('unregisterCloseCallback')
        if self._close_callback is None:
            raise fake_fault.invalid('A different callback was requested')
        self._close_callback = None
        return 0

    def domainEventRegisterAny(
        self, dom: Any, eventID: int,
        cb: Callable[..., Any], opaque: object,
    ) -> int:
        """Subscribe; once per kind of event and guest."""
        self._enter('domainEventRegisterAny')
        if not self.hypervisor.events:
            raise fake_fault.no_support('virConnectDomainEventRegisterAny')
        guest = dom.guest if dom is not None else None
        with self._lock:
            if any((one.event_id, one.guest) == (eventID, guest)
                   for one in self._callbacks.values()):
                raise fake_fault.bad_argument('event callback already tracked')
            number = self._next_callback_id
            self._next_callback_id += 1
            self._callbacks[number] = _Callback(eventID, cb, opaque, guest)
        return number

    def domainEventDeregisterAny(self, callbackID: int) -> int:
        """Unsubscribe; on a dead link it does so and raises."""
        with self._lock:
            known = self._callbacks.pop(callbackID, None)
        self._enter('domainEventDeregisterAny')
        if known is None:
            raise fake_fault.bad_argument(
                f'could not find event callback {callbackID} for deletion')
        return 0

    # What the library has: the host.

    def getURI(self) -> str:
        """The URI it was opened with, also on a dead link."""
        self._check_open('virConnectGetURI')
        return self._uri

    def getType(self) -> str:
        """QEMU; on a dead link only the client's own part is known."""
        self._check_open('virConnectGetType')
        if self.broken:
            return 'remote'
        self._enter('getType')
        return 'QEMU'

    def getHostname(self) -> str:
        """Name of the host."""
        self._enter('getHostname')
        return self.hypervisor.hostname

    def listNetworks(self) -> list[str]:
        """Names of the networks that are active: none."""
        self._enter('listNetworks')
        return []

    def listDefinedNetworks(self) -> list[str]:
        """Names of the networks that are not: none."""
        self._enter('listDefinedNetworks')
        return []

    def getLibVersion(self) -> int:
        """Version of libvirt on the host."""
        self._enter('getLibVersion')
        return 9_000_000

    def getVersion(self) -> int:
        """Version of the hypervisor."""
        self._enter('getVersion')
        return 7_002_000

    def getInfo(self) -> list[Any]:
        """Architecture, MiB, CPUs, MHz, nodes, sockets, cores, threads."""
        self._enter('getInfo')
        return ['x86_64', *self.hypervisor.node_info]

    def getCPUMap(self, flags: int = 0) -> tuple[int, list[bool], int]:
        """CPUs, which of them are online, and how many."""
        self._enter('getCPUMap')
        online = self.hypervisor.online_cpus
        return len(online), list(online), sum(online)

    def getCPUStats(self, cpuNum: int, flags: int = 0) -> dict[str, int]:
        """Nanoseconds since the host was started."""
        self._enter('getCPUStats')
        return {'kernel': 1000, 'user': 2000, 'idle': 3000, 'iowait': 4000}

    def baselineCPU(self, xmlCPUs: list[str], flags: int = 0) -> str:
        """What the test arranged, whatever the CPUs."""
        self._enter('baselineCPU')
        if self.hypervisor.baseline_cpu is None:
            raise fake_fault.no_support('virConnectBaselineCPU')
        return self.hypervisor.baseline_cpu

    def compareHypervisorCPU(
        self, emulator: str | None, arch: str | None, machine: str | None,
        virttype: str | None, xmlCPU: str, flags: int = 0,
    ) -> int:
        """Not supported, as by libvirt's own driver for tests."""
        self._enter('compareHypervisorCPU')
        raise fake_fault.no_support('virConnectCompareHypervisorCPU')

    def getFreeMemory(self) -> int:
        """Bytes; the binding gives 0 on a dead link and raises nothing."""
        self._check_open('virNodeGetFreeMemory')
        if self.broken:
            return 0
        self._enter('getFreeMemory')
        return 4 << 30

    def getCapabilities(self) -> str:
        """A stub with the architecture only, unless told otherwise."""
        self._enter('getCapabilities')
        return self.hypervisor.capabilities

    def getDomainCapabilities(
        self, emulatorbin: str | None = None, arch: str | None = None,
        machine: str | None = None, virttype: str | None = None,
        flags: int = 0,
    ) -> str:
        """What the test arranged, the same for every machine."""
        self._enter('getDomainCapabilities')
        if self.hypervisor.domain_capabilities is None:
            raise fake_fault.no_support('virConnectGetDomainCapabilities')
        return self.hypervisor.domain_capabilities

    # What the library has: the guests.

    def listAllDomains(self, flags: int = 0) -> list[Any]:
        """All domains, or those of one kind."""
        self._enter('listAllDomains')
        return [FakeDomain(self, guest) for guest in self._guests(flags)]

    def getAllDomainStats(
        self, stats: int = 0, flags: int = 0
    ) -> list[tuple[Any, dict[str, Any]]]:
        """State, CPU number and memory of every guest."""
        self._enter('getAllDomainStats')
        return [(FakeDomain(self, guest), fake_guest.stats(guest, stats))
                for guest in self._guests(flags)]

    def domainListGetStats(
        self, doms: list[Any], stats: int = 0, flags: int = 0
    ) -> list[tuple[Any, dict[str, Any]]]:
        """Statistics of the guests that are still there."""
        self._enter('domainListGetStats')
        return [(domain, fake_guest.stats(domain.guest, stats))
                for domain in doms
                if domain.guest in self.hypervisor.guests]

    def defineXML(self, xml: str) -> FakeDomain:
        """Define a guest, or define it again."""
        return self.defineXMLFlags(xml, 0)

    def defineXMLFlags(self, xml: str, flags: int = 0) -> FakeDomain:
        """Define a guest, or define it again."""
        self.enter('defineXMLFlags', 'virDomainDefineXMLFlags', write=True)
        guest, detail = self.hypervisor.define(xml)
        self.hypervisor.emit(
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, guest,
            libvirt.VIR_DOMAIN_EVENT_DEFINED, detail)
        return FakeDomain(self, guest)

    def lookupByUUIDString(self, uuidstr: str) -> FakeDomain:
        """Find by uuid."""
        self._enter('lookupByUUIDString')
        return self._find(lambda guest: guest.uuid == uuidstr)

    def lookupByName(self, name: str) -> FakeDomain:
        """Find by name."""
        self._enter('lookupByName')
        return self._find(lambda guest: guest.name == name)

    # What the library has: secrets.

    def secretDefineXML(
            self, xml: str, flags: int = 0) -> fake_secret.FakeSecret:
        """Define a secret."""
        self.enter('secretDefineXML', 'virSecretDefineXML', write=True)
        return fake_secret.define(self, xml)

    def secretLookupByUsage(
            self, usageType: int, usageID: str,
            flags: int = 0) -> fake_secret.FakeSecret:
        """Find a secret by what it is for."""
        self._enter('secretLookupByUsage')
        return fake_secret.lookup(self, usageType, usageID)

    def _find(self, wanted: Callable[[Guest], bool]) -> FakeDomain:
        for guest in self._guests(0):
            if wanted(guest):
                return FakeDomain(self, guest)
        raise libvirt_error(libvirt.VIR_ERR_NO_DOMAIN,
                            libvirt.VIR_FROM_QEMU, 'Domain not found')

    def _guests(self, flags: int) -> list[Guest]:
        if flags & _SAVED:
            return [guest for guest in self.hypervisor.guests if guest.saved]
        if not flags & (_ACTIVE | _INACTIVE):
            return list(self.hypervisor.guests)
        return [guest for guest in self.hypervisor.guests
                if flags & (_ACTIVE if guest.active else _INACTIVE)]
