# SPDX-License-Identifier: Apache-2.0

"""Who has a session, how one is made, and what happens when it breaks.

There is one session at a time, and one thread that makes it: whoever needs
a connection and finds none asks that thread and waits, so attempts never
overlap and a caller that is told to end disturbs none. Libvirt is never
called while a lock is held.
"""

from collections.abc import Callable
from collections.abc import Iterator
from concurrent import futures
import contextlib
import dataclasses
import functools
import threading
from typing import TypeAlias
from typing import TypeVar

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.connection import announcer as announcer_module
from nova_libvirt_driver.connection import calls as calls_module
from nova_libvirt_driver.connection import errors
from nova_libvirt_driver.connection import herald as herald_module
from nova_libvirt_driver.connection import opener
from nova_libvirt_driver.connection import protocol
from nova_libvirt_driver.connection import pump
from nova_libvirt_driver.connection import retired
from nova_libvirt_driver.connection import router
from nova_libvirt_driver.connection import runtime as runtime_module
from nova_libvirt_driver.connection import serial
from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver.connection import state
from nova_libvirt_driver.connection import subscription
from nova_libvirt_driver.connection import turn as turn_module
from nova_libvirt_driver.connection import worker
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import connection as connection_spec

LOG = logging.getLogger(__name__)

# What a thread of ours may take to end when the service stops.
_STOP_S = 0.5

# How often to look whether a call has left a session that is to be closed.
_INSIDE_S = 0.5

# How long a caller waits for the first attempt after a loss: long enough
# that nobody notices a daemon that is restarted.
_BLIP_S = 1.0

T = TypeVar('T')

Flight: TypeAlias = 'futures.Future[protocol.Connection]'
State = state.State


@dataclasses.dataclass(frozen=True, slots=True)
class Hooks:
    """The driver's own methods that take part.

    They are called through the driver, so that a subclass or a test that
    replaces one of them is obeyed.
    """

    connect: Callable[[], protocol.Connection]
    """Open a connection; raises HypervisorUnavailable."""
    get_new_connection: Callable[[], protocol.Connection]
    """Open a connection and make it the session."""
    test_connection: Callable[[protocol.Connection], bool]
    """Say whether a connection works; raises for any other error."""
    set_host_enabled: Callable[[bool], None]
    """Make the record of the compute service agree."""
    uri: Callable[[], str]
    connected: Callable[[], None] = lambda: None
    """There is another session; must neither block nor raise."""


@dataclasses.dataclass(frozen=True, slots=True)
class Plumbing:
    """What the supervisor works with."""

    calls: calls_module.Calls
    subscriptions: subscription.Subscriptions
    router: router.Router
    outage: opener.Outage
    herald: herald_module.Herald
    runtime: runtime_module.Runtime = runtime_module.PROCESS


class Supervisor:
    """Keeps the session."""

    def __init__(
            self, hooks: Hooks, settings: settings_module.Settings,
            plumbing: Plumbing) -> None:
        self.lock = threading.Lock()
        self._hooks = hooks
        self._settings = settings
        self._plumbing = plumbing
        self._runtime = plumbing.runtime
        self._make_workers()
        self._announcer = announcer_module.Announcer(
            plumbing.herald, hooks.set_host_enabled,
            lambda: self._session is not None,
            grace_s=settings.service_down_grace_s, runtime=self._runtime)
        self._retired = retired.Retired(
            plumbing.calls, timeout_s=settings.connect_timeout_s)
        self._pump = pump.Pump(
            plumbing.subscriptions.inbox, closed=self.lost,
            listed=lambda listed: plumbing.router.synchronize(
                listed.reports, listed.generation),
            changed=plumbing.router.handle, runtime=plumbing.runtime)
        self._life = state.Life(plumbing.runtime.monotonic)
        self._session: session_module.Session | None = None
        self._generation = 0
        self._flight: Flight | None = None
        self._supervised = False
        self._stopped = False
        # Of which period between start and stop a job is.
        self._epoch = 0
        self._failures = 0
        # Which failure the next attempt is for: one that comes in between
        # puts it off, and does not add another one.
        self._retry = 0
        self._last_error: exception.DriverError | None = None

    # What callers use.

    def connection(self) -> protocol.Connection:
        """Return a usable connection.

        Blocks while one is opened and set up, each for ``connect_timeout``
        at the most. Once it is got back in the background, callers wait a
        second for the first attempt, and not at all after it has failed.

        :raises HypervisorUnavailable: there is none
        :raises DriverError: the test of the connection failed in a way
            that says nothing about it; it was dropped
        """
        session = self._session
        if session is not None and self._works(session):
            return session.connection
        return self._await_connection()

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
        timeout_s = self._settings.look_timeout_s
        with (self.using_session(tried, instance=instance) as session,
              session.turn.taken(tried, timeout_s=timeout_s)):
            turn = session.turn
            turn.check()
            turn.begin()
            try:
                found: T = self._plumbing.calls.run(
                    lambda: turn.tracked(function)(session.raw),
                    name=f'the call to {tried}', timeout_s=timeout_s)
            except exception.CallTimeout:
                raise
            except exception.DriverError:
                # There may have been no thread for it.
                turn.call_off()
                raise
            return found

    @contextlib.contextmanager
    def using_session(
            self, tried: str, *,
            instance: str = '') -> Iterator[session_module.Session]:
        """Lend the session, for calls that need a connection of their own.

        :param tried: what the calls are for, as in "list the guests"
        :param instance: uuid or name of the guest they are about, if any
        """
        connection = self.connection()
        session = self._session
        if session is None:
            raise self._unavailable('the connection was lost just now')
        with self._translated(tried, connection, instance):
            yield session

    @contextlib.contextmanager
    def _translated(
            self, tried: str, connection: protocol.Connection,
            instance: str) -> Iterator[None]:
        try:
            yield
        except libvirt.libvirtError as error:
            if errors.is_broken_link(error):
                session = self._session
                if session is not None and (
                        session.connection is connection):
                    self._lose(session, errors.text(error))
            raise errors.translate(
                error, host=self._settings.host, tried=tried,
                instance=instance) from error

    @property
    def session(self) -> session_module.Session | None:
        """The session, if there is one; it may be broken already."""
        return self._session

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._life.state

    @property
    def state_age_s(self) -> float:
        """How long the connection has been in its state."""
        return self._life.age_s()

    @property
    def generation(self) -> int:
        """How many sessions there have been."""
        return self._generation

    @property
    def reconnects(self) -> int:
        """How many sessions were had after the first one."""
        return max(0, self._life.sessions - 1)

    @property
    def lost_for_s(self) -> float | None:
        """How long ago a session was lost that is not back yet."""
        return self._announcer.lost_for_s

    @property
    def breaker(self) -> connection_spec.Breaker:
        """What becomes of whoever wants a connection now."""
        refused = self._session is None and (
            self._stopped or self._is_failing())
        return (connection_spec.Breaker.OPEN if refused
                else connection_spec.Breaker.CLOSED)

    @property
    def last_error(self) -> str:
        """Why there is no connection, or an empty text."""
        error = self._last_error
        return '' if error is None else str(error)

    # What the service uses.

    def start(self) -> None:
        """Connect, and from now on stay connected.

        Waits for the first attempt and returns also when it fails: further
        ones are made in the background.
        """
        with self.lock:
            if self._stopped:
                self._stopped = False
                self._make_workers()
                self._plumbing.herald.start()
            self._supervised = True
            self._failures = 0
        with contextlib.suppress(exception.DriverError):
            self.connection()
        if self._session is None:
            LOG.warning('There is no connection to libvirt yet; it is tried '
                        'again until there is one')

    def listen(self) -> None:
        """Be ready for events; the first session does that too."""
        self._pump.ensure_running()

    def stop(self) -> None:
        """Close the session and stop the threads; takes two seconds at most.

        Until :meth:`start` there is no connection any more. The record of
        the compute service stays as it is.
        """
        with self.lock:
            self._stopped = True
            self._supervised = False
            self._announcer.settled()
            self._epoch += 1
            self._flight = None
        self._drop(self._session, 'the driver was stopped')
        with self.lock:
            self._life.advance(State.DISCONNECTED)
        self._worker.stop(_STOP_S)
        self._closer.finish(_STOP_S)
        self._pump.stop(_STOP_S)
        self._plumbing.herald.stop()

    # What the driver's own methods are made of.

    def renew(self) -> protocol.Connection:
        """Open a connection and make it the session, whatever there was.

        The compute service is told of the outcome either way.

        :raises HypervisorUnavailable: it failed
        """
        epoch = self._epoch
        if self._worker.inside():
            return self._attempt(epoch)
        return self._wait(self._worker.submit(lambda: self._attempt(epoch)))

    def install(self, connection: protocol.Connection | None) -> None:
        """Take a connection that was opened elsewhere, or none."""
        self._drop(self._session, 'another one was installed')
        if connection is not None:
            session = self._session_of(connection)
            with self.lock:
                self._session = session
                self._set_connected()

    def lost(self, closed: session_module.Closed) -> None:
        """Take note that libvirt closed a session; old news are nothing."""
        with self.lock:
            session = self._session
        if session is not None and session.generation == closed.generation:
            self._lose(session, closed.words)

    # How it is done.

    def _make_workers(self) -> None:
        self._worker = worker.Worker('libvirt-keeper', self._runtime)
        self._closer = worker.Worker('libvirt-closer', self._runtime)

    def _works(self, session: session_module.Session) -> bool:
        if session.vouched_for:
            return True
        try:
            works = not session.closed and self._hooks.test_connection(
                session.connection)
        except Exception as error:
            self._lose(session, str(error))
            if isinstance(error, libvirt.libvirtError):
                raise errors.translate(
                    error, host=self._settings.host,
                    tried='test the connection') from error
            raise
        # The caller has another one made at once, unless it is a port.
        if not works and self._drop(
                session, 'a test of it failed', lost=True):
            self._recover()
        return works

    def _await_connection(self) -> protocol.Connection:
        """Share the attempt under way, or have one made."""
        if self._worker.inside() or self._plumbing.herald.inside():
            # A hook of the attempt itself, or a port that is told of it.
            raise self._unavailable('it is being connected')
        with self.lock:
            if self._session is not None:
                return self._session.connection
            if self._stopped:
                raise self._unavailable('the driver was stopped')
            if self._is_failing():
                raise exception.again(
                    self._last_error) or self._unavailable('')
            flight = self._take_off()
            is_blip = self._supervised and self._generation > 0
        return self._wait(flight, _BLIP_S if is_blip else None)

    def _is_failing(self) -> bool:
        """Say whether it is got back in the background, without success."""
        return self._supervised and self._failures > 0

    def _take_off(self) -> Flight:
        """Return the attempt under way; begin one unless there is."""
        if self._flight is None or self._flight.done():
            self._flight = self._worker.submit(functools.partial(
                self._fly, self._epoch, self._failures))
        return self._flight

    def _fly(self, epoch: int, failures: int) -> protocol.Connection:
        session = self._session
        if session is not None and not session.closed:
            # Somebody was faster.
            return session.connection
        self._check(epoch)
        if self._failures > failures:
            # The attempt that was under way has just failed.
            raise exception.again(self._last_error) or self._unavailable('')
        return self._hooks.get_new_connection()

    def _check(self, epoch: int) -> None:
        if epoch != self._epoch:
            raise self._unavailable('the driver was stopped')

    def _wait(
            self, flight: Flight,
            patience_s: float | None = None) -> protocol.Connection:
        # Twice the deadline, to open and to set up, and a margin.
        timeout_s = patience_s or 2 * self._settings.connect_timeout_s + 2
        try:
            failure = flight.exception(timeout_s)
        except TimeoutError:
            raise self._unavailable(
                f'no connection within {timeout_s:g} s') from None
        except futures.CancelledError:
            raise self._unavailable('the driver was stopped') from None
        if failure is None:
            return flight.result()
        # Not the object itself: others raise it at the same time.
        raise (exception.again(failure) or self._unavailable(str(failure))
               ) from failure

    def _attempt(self, epoch: int) -> protocol.Connection:
        """Open a connection and set up its session; on the worker only."""
        self._check(epoch)
        self._drop(self._session, 'it is being replaced')
        with self.lock:
            self._life.advance(State.CONNECTING)
        try:
            connection = self._hooks.connect()
            self._adopt(connection, epoch)
        except Exception as error:
            self._failed(error, epoch)
            raise
        finally:
            if epoch == self._epoch:
                self._announcer.outcome(failures=self._failures)
        return connection

    def _adopt(self, connection: protocol.Connection, epoch: int) -> None:
        session = self._session_of(connection)
        uri = self._hooks.uri()
        try:
            self._check(epoch)
            self._pump.ensure_running()
            self._plumbing.calls.run(
                lambda: session.set_up(
                    self._settings, self._plumbing.subscriptions),
                name=f'setting up the connection to {uri}',
                label='setting up a connection',
                timeout_s=self._settings.connect_timeout_s,
                late=lambda nothing: session.close())
        except exception.CallTimeout:
            raise
        except Exception as error:
            self._retire(session)
            raise errors.cannot_open(
                error, host=self._settings.host, uri=uri) from error
        subscription.log_problems(session.problems, uri)
        self._publish(session, epoch)

    def _session_of(
            self, connection: protocol.Connection) -> session_module.Session:
        with self.lock:
            self._generation += 1
            generation = self._generation
        turn = serial.turn_of(connection) or turn_module.Turn(
            host=self._settings.host,
            timeout_s=self._settings.call_timeout_s,
            observation=self._plumbing.calls.observation,
            runtime=self._runtime)
        return session_module.Session(
            connection, serial.raw(connection), turn, generation)

    def _publish(
            self, session: session_module.Session, epoch: int) -> None:
        with self.lock:
            wanted = epoch == self._epoch and not session.closed
            doomed: session_module.Session | None = session
            if wanted:
                doomed, self._session = self._session, session
                # Who comes from now on and finds it broken wants another.
                self._flight = None
                self._set_connected()
                self._announcer.settled()
                self._failures = 0
                self._last_error = None
        if doomed is not None:
            self._retire(doomed)
        if not wanted:
            raise self._unavailable('it was closed while being set up')
        self._plumbing.outage.over()
        LOG.info('Connected to libvirt at %s (connection %d)',
                 self._hooks.uri(), session.generation)
        self._hooks.connected()

    def _failed(self, error: Exception, epoch: int) -> None:
        if epoch != self._epoch:
            return
        failure = exception.again(error) or self._unavailable(str(error))
        self._plumbing.outage.report(failure)
        with self.lock:
            if epoch != self._epoch:
                return
            self._flight = None
            self._failures += 1
            if self._session is None:
                self._last_error = failure
                self._life.advance(State.BROKEN)
            if self._supervised:
                self._retry += 1
                self._worker.later(self._pause_s(), functools.partial(
                    self._try_again, self._retry))

    def _try_again(self, retry: int) -> None:
        if retry == self._retry:
            self._recover()

    def _pause_s(self) -> float:
        """Return how long to wait before the next attempt."""
        first_s = self._settings.reconnect_interval_s
        pause_s = min(first_s * 2.0 ** min(self._failures - 1, 30),
                      self._settings.reconnect_interval_max_s)
        # Jitter: many hosts lose the same daemon or network at once.
        return pause_s + self._runtime.uniform(0, first_s)

    def _recover(self) -> None:
        with self.lock:
            if self._supervised and self._session is None:
                self._take_off()

    def _lose(self, session: session_module.Session, reason: str) -> None:
        """Drop a session that broke, and see to it that it is replaced."""
        if not self._drop(session, reason, lost=True):
            return
        LOG.warning('The connection to libvirt is lost: %s', reason)
        if self._supervised:
            self._recover()
        else:
            # Nobody makes another one before it is asked for.
            self._worker.submit(self._announcer.announce)

    def _drop(
            self, session: session_module.Session | None,
            reason: str, *, lost: bool = False) -> bool:
        failure = self._unavailable(reason)
        with self.lock:
            if session is None or self._session is not session:
                return False
            self._session = None
            if lost and self._supervised:
                self._announcer.lost()
            self._last_error = failure
            self._life.advance(State.BROKEN)
        self._retire(session)
        return True

    def _retire(self, session: session_module.Session) -> None:
        self._retired.add(session)
        if self._closer.submit(self._close_retired).cancelled():
            # The driver was stopped meanwhile.
            self._retired.close()

    def _close_retired(self) -> None:
        if not self._retired.close():
            self._closer.later(_INSIDE_S, self._close_retired)

    def _set_connected(self) -> None:
        if self._life.state != State.CONNECTED:
            self._life.advance(State.CONNECTING)
            self._life.advance(State.CONNECTED)

    def _unavailable(self, reason: str) -> exception.HypervisorUnavailable:
        return exception.HypervisorUnavailable(
            host=self._settings.host, uri=self._hooks.uri(), reason=reason)
