# SPDX-License-Identifier: Apache-2.0

"""A supervisor that runs step by step, and what it does to its world.

Everything below the ports is the product's own; the hypervisor, time and
threads are fakes. What must never happen is noted in :attr:`World.wrong`
when it happens.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import TypeVar

import fixtures as fixtures_library

from nova_libvirt_driver.calls import calls as calls_module
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.compute import record as record_module
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver.events import dispatcher as dispatcher_module
from nova_libvirt_driver.events import events as events_module
from nova_libvirt_driver.events import expecting
from nova_libvirt_driver.events import inbox as inbox_module
from nova_libvirt_driver.events import router as router_module
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fixtures
from nova_libvirt_driver.testing import stepped as stepped_module

T = TypeVar('T')

HOST = 'here'
URI = 'fake:///system'
SETTINGS = settings_module.Settings(
    HOST, settings_module.Credentials('', '', ''))

_State = connection_spec.ConnectionState


@dataclasses.dataclass(slots=True)
class Attempt:
    """One attempt to have a connection."""

    period: int
    """How often the driver had been stopped before."""
    restart: int
    """How often it had been started before."""
    ended_at_s: float | None = None
    succeeded: bool = False


class Calls(calls_module.NativeCalls):
    """Calls that say when an attempt begins and ends."""

    world: 'World'

    def run(
            self, function: Callable[[], T], *, name: str, timeout_s: float,
            late: Callable[[T | None], object] | None = None,
            label: str = '', place_timeout_s: float | None = None) -> T:
        run = functools.partial(
            super().run, function, name=name, timeout_s=timeout_s, late=late,
            place_timeout_s=place_timeout_s)
        if not name.startswith(('opening', 'setting up')):
            return run()
        attempt = self.world.begin(is_new=name.startswith('opening'))
        try:
            return run()
        finally:
            self.world.end(attempt)


class Record:
    """The record of the service, whose writing may fail or take long."""

    def __init__(self, runtime: stepped_module.Stepped) -> None:
        self.content = record_module.ServiceRecord(HOST)
        self.delay_s = 0.0
        self.failures = 0
        self.words: list[bool] = []
        """What was said, also where it could not be written."""
        self.disables = 0
        """How often the driver has really disabled the host."""
        self._runtime = runtime

    def write(self, enabled: bool, reason: str) -> None:
        self.words.append(enabled)
        self._runtime.wait(lambda: False, self.delay_s)
        if self.failures:
            self.failures -= 1
            raise OSError('no space left on device')
        before = self.content
        self.content = record_module.by_driver(
            before, enabled=enabled, reason=reason)
        self.disables += bool(
            self.content.driver_reason and not before.driver_reason)

    def by_operator(self, enabled: bool, reason: str) -> None:
        self.content = record_module.by_operator(
            self.content, enabled=enabled, reason=reason)


class World(fixtures_library.Fixture):
    """The supervisor and all around it, also the driver.

    :ivar wrong: what happened that must not
    :ivar period: how often the driver was stopped
    :ivar restarts: how often it was started
    :ivar outages: how often a connection was got
    """

    read_only = False

    def __init__(self, seed: int, *, keepalive: bool) -> None:
        super().__init__()
        self.runtime = stepped_module.Stepped(seed)
        self.hypervisor = fake_libvirt.FakeHypervisor(
            keepalive=keepalive, wait=self.runtime.wait)
        self.record = Record(self.runtime)
        self.notifier = fake_ports.RecordingNotifier()
        self.listener = fake_ports.RecordingListener()
        self.attempts: list[Attempt] = []
        self.wrong: list[str] = []
        self.period = self.restarts = self.outages = 0
        self.supervised = False
        # Somebody wants another session whatever there is; until all rests.
        self.renewed = False
        self.connected_at_s: list[float] = []
        """When there was another session, each time."""
        # When there was a session last.
        self.seen_at_s: float | None = None
        self._make()

    def _setUp(self) -> None:
        self.useFixture(fixtures.FakeLibvirt(self.hypervisor))
        self.addCleanup(self.runtime.close)

    def _make(self) -> None:
        self.calls = Calls(host=HOST, limit=1000, runtime=self.runtime)
        self.calls.world = self
        self.inbox = self.runtime.queue()
        dispatcher = dispatcher_module.Dispatcher(self.listener)
        restarts = router_module.Restarts(self.listener)
        waits = expecting.Waits()
        router = router_module.Router(restarts.take, waits)
        events = events_module.Events(
            inbox_module.Subscriptions(
                lambda: self._event_lifecycle_callback, self.inbox),
            inbox_module.Reader(self.inbox, router, self.runtime), router,
            waits, restarts, dispatcher)
        self.link = link_module.Link(
            self, SETTINGS, self.calls, events, self.notifier, self.runtime)
        self.link.attempts.when_connected(self._connected)

    # What the machine does, each on a thread of its own.

    def start(self) -> None:
        self.supervised = True
        self.restarts += 1
        self.seen_at_s = None
        self.link.start()

    def stop(self) -> None:
        self.supervised = False
        self.period += 1
        self.seen_at_s = None
        self.link.stop()

    def renew(self) -> protocol.Connection:
        self.renewed = True
        self.seen_at_s = None
        return self.link.attempts.renew()

    def observe(self) -> None:
        """See whether there is a session now."""
        if self.supervised and not self.renewed and (
                self.link.current.session is not None):
            self.seen_at_s = self.runtime.monotonic()

    @property
    def failures(self) -> list[Attempt]:
        """The last attempts, as far as they have failed one by one."""
        failed: list[Attempt] = []
        for attempt in reversed(self.attempts):
            if attempt.succeeded or attempt.ended_at_s is None or (
                    (attempt.period, attempt.restart)
                    != (self.period, self.restarts)):
                break
            failed.append(attempt)
        return failed

    # What the product does.

    def begin(self, *, is_new: bool) -> Attempt:
        if any(one.ended_at_s is None and one.period == self.period
               for one in self.attempts):
            self.wrong.append('two attempts at a time')
        if is_new:
            self.attempts.append(Attempt(self.period, self.restarts))
        self.attempts[-1].ended_at_s = None
        return self.attempts[-1]

    def end(self, attempt: Attempt) -> None:
        attempt.ended_at_s = self.runtime.monotonic()

    def _get_new_connection(self) -> protocol.Connection:
        failed = self.failures
        if self.supervised and failed:
            pause_s = min(
                SETTINGS.reconnect_interval_s * 2 ** (len(failed) - 1),
                SETTINGS.reconnect_interval_max_s)
            passed_s = self.runtime.monotonic() - (failed[0].ended_at_s or 0)
            if passed_s < pause_s - 1e-6:
                self.wrong.append(
                    f'attempt {passed_s:g} s after the failure number '
                    f'{len(failed)}')
        return self.link.attempts.renew()

    def set_host_enabled(self, host: str, enabled: bool) -> None:
        seen_at_s = self.seen_at_s
        if not enabled and self.supervised and seen_at_s is not None:
            passed_s = self.runtime.monotonic() - seen_at_s
            if passed_s < SETTINGS.service_down_grace_s - 1e-6:
                self.wrong.append(f'disabled {passed_s:g} s after a loss')
        self.record.write(enabled, self.link.current.last_error)

    def _connected(self) -> None:
        if self.link.current.lock.locked():
            self.wrong.append('told of a connection within a lock')
        self.attempts[-1].succeeded = True
        self.outages += 1
        self.connected_at_s.append(self.runtime.monotonic())

    # What else it has of a driver.

    def uri(self) -> str:
        return URI

    def get_host_ip_addr(self) -> str:
        return '192.0.2.9'

    def _connect(self, uri: str, read_only: bool) -> protocol.Connection:
        return self.link.opener.open(uri, read_only=read_only)

    def _test_connection(self, conn: protocol.Connection) -> bool:
        return session_module.works(conn)

    def _event_lifecycle_callback(
            self, conn: object, dom: protocol.Domain, event: int,
            detail: int, opaque: object) -> None:
        self.link.attempts.receive(dom, event, detail, opaque)
