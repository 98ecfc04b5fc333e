# SPDX-License-Identifier: Apache-2.0

"""The way to libvirt: who uses the session, and what happens if it breaks.

There is one session at a time; ``attempts`` makes it. Libvirt is never called
while a lock is held.

Callers take turns on the connection of the session, so a call that enters
a guest's monitor, and may hang there, must not be made on it. It gets a
connection of its own, which is kept for the next such call.

A call that has entered the monitor of a QEMU that stands still comes back
when it goes on, or is killed. Until then every further call would wait for
that one, each on a thread of its own; so they are refused: the guest is in
quarantine.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import functools
import threading
import time
from typing import TypeVar

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.calls import calls as calls_module
from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.calls import runtime as runtime_module
from nova_libvirt_driver.connection import announcer as announcer_module
from nova_libvirt_driver.connection import attempts as attempts_module
from nova_libvirt_driver.connection import opener as opener_module
from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import events as events_module
from nova_libvirt_driver.events import expecting as expecting_module
from nova_libvirt_driver.events import inbox
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import event as event_spec

LOG = logging.getLogger(__name__)

T = TypeVar('T')

_IDLE_MAX = 8

# Closing is waited for no longer; the thread that does it goes on.
_CLOSE_S = 0.2


class Channels:
    """Lends connections to one call at a time.

    :param open_raw: opens one; raises HypervisorUnavailable
    """

    def __init__(
            self, open_raw: Callable[[], protocol.Connection],
            calls: calls_module.Calls,
            settings: settings_module.Settings) -> None:
        self._open_raw = open_raw
        self._calls = calls
        self._settings = settings
        self._lock = threading.Lock()
        self._idle: list[protocol.Connection] = []
        self._generation = 0

    def run(
            self, session: session_module.Session,
            function: Callable[[protocol.Connection], T], *,
            name: str, timeout_s: float | None = None,
            late: Callable[[], object] = lambda: None) -> T:
        """Return what *function* makes of a connection of its own.

        Blocks for *timeout_s* at most. Before that, where a connection has
        to be opened, twice for ``connect_timeout`` (it is opened, and asked
        to be kept alive), and twice for ``call_timeout`` while other calls
        have all threads. One whose call takes longer is closed when the call
        ends.

        :param function: runs on a native thread, and must not log
        :param timeout_s: default is ``call_timeout``
        :param late: called when the call ends after its deadline; on the
            native thread, where it must not log
        :raises CallTimeout: the deadline passed
        :raises libvirt.libvirtError: as it comes
        """
        if timeout_s is None:
            timeout_s = self._settings.call_timeout_s
        if not session.turn.needed:
            # In this process; another connection may see other guests.
            return self._calls.run(
                lambda: function(session.raw), name=name,
                timeout_s=timeout_s, late=lambda nothing: late())
        channel = self._take(session.generation) or self._open()

        def dispose(nothing: object) -> None:
            late()
            _close(channel)

        try:
            result = self._calls.run(
                lambda: function(channel), name=name, timeout_s=timeout_s,
                late=dispose)
        except exception.CallTimeout:
            # Closed when the call ends, and not before.
            raise
        except Exception as error:
            if _is_unharmed(error):
                self._give_back(channel, session.generation)
            else:
                self.discard(channel)
            raise
        self._give_back(channel, session.generation)
        return result

    def close(self) -> None:
        """Close the connections; those in use when they are given back."""
        with self._lock:
            self._generation = 0
            idle, self._idle = self._idle, []
        self.discard(*idle)

    def _open(self) -> protocol.Connection:
        channel = self._open_raw()

        try:
            self._calls.run(
                lambda: channel.setKeepAlive(
                    self._settings.keepalive_interval_s,
                    self._settings.keepalive_count),
                name='setting keepalive',
                timeout_s=self._settings.connect_timeout_s,
                place_timeout_s=self._settings.call_timeout_s,
                late=lambda nothing: _close(channel))
        except exception.CallTimeout:
            raise
        except Exception:
            self.discard(channel)
            raise
        return channel

    def _take(self, generation: int) -> protocol.Connection | None:
        outdated: list[protocol.Connection] = []
        channel = None
        with self._lock:
            if generation > self._generation:
                # The daemon they lead to has gone since.
                self._generation = generation
                outdated, self._idle = self._idle, []
            elif generation == self._generation and self._idle:
                channel = self._idle.pop()
        self.discard(*outdated)
        return channel

    def _give_back(
            self, channel: protocol.Connection, generation: int) -> None:
        with self._lock:
            if generation == self._generation and (
                    len(self._idle) < _IDLE_MAX):
                self._idle.append(channel)
                return
        self.discard(channel)

    def discard(self, *channels: protocol.Connection) -> None:
        """Close connections, and do not wait for long."""
        for channel in channels:
            try:
                self._calls.run(
                    functools.partial(_close, channel),
                    name='closing a connection', timeout_s=_CLOSE_S)
            except exception.DriverError:
                # The binding closes it when nothing refers to it.
                continue


class Visit:
    """A call into a monitor, from its begin to its end.

    :param tried: what it is for, as in "pause the guest"
    """

    def __init__(self, tried: str) -> None:
        self.tried = tried
        self.since_s = time.monotonic()
        self.begun = False
        self.ended = False


class Quarantine:
    """Who is in it, by uuid.

    Calls end on native threads, so nothing but bookkeeping is done while
    the lock is held.
    """

    def __init__(self) -> None:
        self._lock = runtime_module.original('threading').Lock()
        self._visits: dict[str, Visit] = {}

    def check(self, uuid: str, tried: str) -> None:
        """Refuse a call into the monitor of a guest that is in quarantine.

        :param tried: what the call is for, as in "pause the guest"
        :raises GuestUnresponsive: it is
        """
        with self._lock:
            visit = self._visits.get(uuid)
        if visit is not None:
            raise exception.GuestUnresponsive(
                tried=tried, instance=uuid,
                reason=f'since {time.monotonic() - visit.since_s:.0f} s it '
                f'has not come back from the attempt to {visit.tried}')

    def add(self, uuid: str, visit: Visit) -> bool:
        """Put a guest in quarantine until the visit ends.

        :returns: whether it was not in it before, and is now
        """
        with self._lock:
            if visit.ended or uuid in self._visits:
                return False
            self._visits[uuid] = visit
            return True

    def end(self, visit: Visit) -> None:
        """Let those out who are in it because of a visit."""
        with self._lock:
            visit.ended = True
            for uuid in [uuid for uuid, one in self._visits.items()
                         if one is visit]:
                del self._visits[uuid]

    def release(self, uuid: str) -> None:
        """Let a guest out whose QEMU is gone."""
        with self._lock:
            self._visits.pop(uuid, None)

    def uuids(self) -> tuple[str, ...]:
        """Return who is in it, sorted."""
        with self._lock:
            return tuple(sorted(self._visits))


class Link:
    """What every way to a guest goes over; creating it opens nothing.

    :ivar attempts: how there is a session
    :ivar current: the session, and the state of the connection
    """

    def __init__(
            self, driver: attempts_module.Driver,
            settings: settings_module.Settings, calls: calls_module.Calls,
            events: events_module.Events, notifier: ports.Notifier,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        self.host = settings.host
        self.call_timeout_s = settings.call_timeout_s
        self.look_timeout_s = settings.look_timeout_s
        self.job_timeout_s = settings.job_timeout_s
        self._driver = driver
        self._calls = calls
        self._events = events
        messenger = announcer_module.Messenger(runtime=runtime)
        outage = opener_module.Outage(
            notifier, messenger, lambda: driver.get_host_ip_addr())
        self.opener = opener_module.Opener(settings, calls, outage)
        self.attempts = attempts_module.Attempts(
            driver, settings, calls, events, outage, messenger, runtime)
        self.current = self.attempts.current
        self.channels = Channels(
            lambda: self.opener.open_raw(
                driver.uri(), read_only=driver.read_only,
                place_timeout_s=settings.call_timeout_s), calls, settings)
        self.quarantine = Quarantine()
        self._recheck = attempts_module.Recheck(
            self.current, events.router, lambda: self.look(
                'see which guests are still there', decode.reports),
            runtime=runtime)
        self.attempts.when_connected(self._recheck.wake)

    def start(self) -> None:
        """Connect, and from now on stay connected.

        Waits for the first attempt and returns also when it fails: further
        ones are opened in the background.
        """
        self._events.dispatcher.start()
        self._recheck.start()
        self.attempts.start()
        with contextlib.suppress(exception.DriverError):
            self.connection()
        if self.current.session is None:
            LOG.warning('Not connected to libvirt yet, will retry until it '
                        'answers')

    def stop(self) -> None:
        """Close all connections and stop the threads, in two seconds."""
        self._recheck.stop()
        self.attempts.stop()
        self.channels.close()
        self._events.dispatcher.stop()

    def status(self) -> connection_spec.ConnectionStatus:
        """Say how the connection is, without asking libvirt."""
        current, events = self.current, self._events
        session = current.session
        return connection_spec.ConnectionStatus(
            state=current.state, uri=self._driver.uri(),
            read_only=self._driver.read_only, generation=current.generation,
            events=session is not None and session.events,
            keepalive=session is not None and session.keepalive,
            last_error=current.last_error,
            queued_events=(events.subscriptions.inbox.qsize()
                           + events.dispatcher.size()),
            running_calls=self._calls.budget.running,
            abandoned_calls=self._calls.budget.abandoned,
            coalesced_events=events.dispatcher.coalesced,
            unresponsive=self.quarantine.uuids(),
            in_process=session is not None and not session.turn.needed,
            call_limit=self._calls.budget.limit,
            breaker=self.attempts.breaker,
            reconnects=current.reconnects,
            state_age_s=round(current.age_s, 3),
            lost_for_s=current.lost_for_s,
            disk_errors=tuple(events.router.disk_errors().values()))

    def connection(self) -> protocol.Connection:
        """Return a usable connection.

        Blocks while one is opened and set up, each for ``connect_timeout``
        at most. Once it is got back in the background, callers wait a
        second for the first attempt, and not at all after it has failed.

        :raises HypervisorUnavailable: there is none
        :raises DriverError: the test of the connection failed in a way
            that says nothing about it; it was dropped
        """
        session = self.current.session
        if session is not None and self._works(session):
            return session.connection
        return self.attempts.connection()

    def look(
            self, tried: str, function: Callable[[protocol.Connection], T],
            *, instance: str = '') -> T:
        """Return what *function* makes of the connection.

        For calls that enter no guest's monitor. Those who look take turns;
        each waits for its turn, and for its answer, ``look_timeout`` at the
        most.

        :param tried: what it is for, as in "list the guests"
        :param function: runs on a native thread, and must not log
        :param instance: uuid or name of the guest it is about, if any
        :raises CallTimeout: one of the deadlines passed
        :raises DriverError: libvirt's error as one of ours
        """
        timeout_s = self.look_timeout_s
        with (self._using_session(tried, instance) as session,
              session.turn.taken(tried, timeout_s=timeout_s) as tracked):
            found: T = self._calls.run(
                functools.partial(tracked(function), session.raw),
                name=f'the call to {tried}', timeout_s=timeout_s)
            return found

    def expecting(
            self, instance: str, *kinds: type[event_spec.GuestEvent],
    ) -> contextlib.AbstractContextManager[expecting_module.Expectation]:
        """See every event of these kinds of a guest from now on.

        Enter it before the call that leads to the event.
        """
        return self._events.waits.expecting(
            instance, kinds, lambda: self._hears(kinds))

    def _hears(self, kinds: expecting_module.Kinds) -> int | None:
        session = self.current.session
        if session is None or session.closed:
            return None
        wanted = {inbox.name_of(kind) for kind in kinds}
        return session.generation if wanted <= session.subscribed else 0

    def call(
            self, tried: str, function: Callable[[protocol.Connection], T],
            *, instance: str = '', timeout_s: float | None = None) -> T:
        """Return what *function* makes of a connection of its own.

        :param tried: what it is for, as in "list the guests"
        :param function: runs on a native thread, and must not log
        :param timeout_s: default is ``call_timeout``
        :raises CallTimeout: the deadline passed; the call may go on
        :raises DriverError: libvirt's error as one of ours
        """
        with self._using_session(tried, instance) as session:
            return self.channels.run(
                session, function, name=f'the call to {tried}',
                timeout_s=timeout_s)

    def look_elsewhere(
            self, uri: str, tried: str,
            function: Callable[[protocol.Connection], T]) -> T:
        """Return what *function* makes of a connection to another host.

        It may look, and change nothing. What goes wrong is no outage of this
        host, and is not reported.

        :raises HypervisorUnavailable: that host cannot be asked
        """
        connection = self.opener.open_raw(uri, read_only=True)
        try:
            return self._calls.run(
                lambda: function(connection), name=f'the call to {tried}',
                timeout_s=self.look_timeout_s,
                late=lambda nothing: _close(connection))
        except libvirt.libvirtError as error:
            raise exception.HypervisorUnavailable(
                host=uri, reason=errors.text(error)) from error
        finally:
            self.channels.discard(connection)

    def enter(
            self, visit: Visit,
            function: Callable[[protocol.Connection], T], *,
            instance: str = '', timeout_s: float | None = None) -> T:
        """Like :meth:`call`, and say whether a guest is to blame.

        :param visit: begins and ends with *function*; guests that are in
            quarantine because of it are let out then
        :param instance: the guest; empty when it may be any
        :raises GuestUnresponsive: *function* hangs, and the connection works
        :raises CallTimeout: the connection is to blame
        """
        def inside(connection: protocol.Connection) -> T:
            visit.begun = True
            return function(connection)

        with self._using_session(visit.tried, instance) as session:
            try:
                return self.channels.run(
                    session, inside, name=f'the call to {visit.tried}',
                    timeout_s=timeout_s,
                    late=lambda: self.quarantine.end(visit))
            except exception.CallTimeout as error:
                # It may have been the opening of a connection that took so
                # long; nothing would ever end that visit.
                if not visit.begun or session.closed or (
                        self.current.session is not session):
                    raise
                raise exception.GuestUnresponsive(
                    tried=visit.tried, instance=instance, reason='no answer '
                    f'within {error.fields["timeout_s"]:g} s') from error

    def visit(
            self, tried: str, function: Callable[[protocol.Connection], T],
            *, instance: str, own_wait_s: float = 0.0) -> T:
        """Return what *function* makes of a connection of its own.

        For a call that enters the monitor of a guest and comes back soon.
        When it does not, the guest is in quarantine until it does.

        :param own_wait_s: how long libvirt itself may wait for the guest,
            beside ``call_timeout``
        :raises GuestUnresponsive: it does not, or was in quarantine
        :raises DriverError: libvirt's error as one of ours
        """
        self.quarantine.check(instance, tried)
        visit = Visit(tried)
        try:
            return self.enter(
                visit, function, instance=instance, timeout_s=(
                    self.call_timeout_s + own_wait_s))
        except exception.GuestBusy:
            raise
        except exception.GuestUnresponsive as error:
            self.quarantine.add(instance, visit)
            LOG.warning('Refusing calls that need the guest\'s monitor until '
                        'it answers: %s', error,
                        instance={'uuid': instance})
            raise

    @contextlib.contextmanager
    def _using_session(
            self, tried: str, instance: str) -> Iterator[
                session_module.Session]:
        """Lend the session, and translate errors of libvirt."""
        session = self.current.session
        if session is None or session.turn.needed:
            self.connection()
            session = self.current.session
        # Else the hypervisor is in this process: no link that could break.
        if session is None:
            raise self.attempts.unavailable('the connection was lost just now')
        try:
            yield session
        except libvirt.libvirtError as error:
            if errors.is_broken_link(error) and (
                    self.current.session is session):
                self.attempts.lose(session, errors.text(error))
            raise errors.translate(
                error, host=self.host, tried=tried,
                instance=instance) from error

    def _works(self, session: session_module.Session) -> bool:
        if session.vouched_for:
            return True
        try:
            works = not session.closed and self._driver._test_connection(
                session.connection)
        except Exception as error:
            self.attempts.lose(session, str(error))
            if isinstance(error, libvirt.libvirtError):
                raise errors.translate(
                    error, host=self.host,
                    tried='test the connection') from error
            raise
        if not works:
            self.attempts.replace(session, 'a test of it failed')
        return works


def _is_unharmed(error: Exception) -> bool:
    """Say whether the connection can be used again after an error."""
    if isinstance(error, libvirt.libvirtError):
        return not errors.is_broken_link(error)
    # Ours comes from before the call, or from what was made of its answer.
    return (isinstance(error, exception.DriverError)
            and not isinstance(error, exception.HypervisorUnavailable))


def _close(channel: protocol.Connection) -> None:
    try:
        channel.close()
    except libvirt.libvirtError:
        # It was broken already.
        return
