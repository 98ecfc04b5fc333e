# SPDX-License-Identifier: Apache-2.0

"""Attempts to connect, one at a time, and the pauses between them.

A caller that needs a connection and finds none asks the one thread that makes
them, and waits: so attempts never overlap, and a caller that is killed
disturbs none. While the connection is supervised, an attempt that fails is
followed by another. A while after one that succeeds, it is looked once more
who is still there.
"""

from collections.abc import Callable
from collections.abc import Sequence
from concurrent import futures
import functools
import threading
from typing import Protocol

from oslo_log import log as logging

from nova_libvirt_driver.calls import calls as calls_module
from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.calls import runtime as runtime_module
from nova_libvirt_driver.calls import turn as turn_module
from nova_libvirt_driver.calls import worker as worker_module
from nova_libvirt_driver.connection import announcer as announcer_module
from nova_libvirt_driver.connection import opener
from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import events as events_module
from nova_libvirt_driver.events import inbox as inbox_module
from nova_libvirt_driver.events import router as router_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import connection as connection_spec

LOG = logging.getLogger(__name__)

# What a thread of ours may take to end when the service stops.
_STOP_S = 0.5

# How long a caller waits for the first attempt after a loss: long enough
# that a daemon that is restarted goes unnoticed.
_BLIP_S = 1.0

RECHECKS_S = (3.0, 10.0, 30.0)
"""How long after a connection was made its guests are listed again.

A daemon needs a moment for each guest, and more when its host is busy.
"""

_RECHECK_STOP_S = 0.1

Attempt = futures.Future[protocol.Connection]


class Driver(Protocol):
    """The driver's own methods that take part.

    They are called through the driver, so that a subclass or a test that
    replaces one of them is obeyed.
    """

    read_only: bool

    def uri(self) -> str: ...

    def _connect(self, uri: str, read_only: bool) -> protocol.Connection:
        """Open a connection; raises HypervisorUnavailable."""

    def _get_new_connection(self) -> protocol.Connection:
        """Open a connection and make it the session."""

    def _test_connection(self, conn: protocol.Connection) -> bool:
        """Say whether a connection works; raises for any other error."""

    def get_host_ip_addr(self) -> str: ...

    def set_host_enabled(self, host: str, enabled: bool) -> None:
        """Make the record of the compute service agree."""


class Attempts:
    """Makes sessions, and replaces those that break.

    :ivar current: what there is now; its lock guards what is counted here,
        too
    :ivar supervised: a session that breaks is replaced by itself
    """

    def __init__(
            self, driver: Driver, settings: settings_module.Settings,
            calls: calls_module.Calls, events: events_module.Events,
            outage: opener.Outage, messenger: announcer_module.Messenger,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        self.current = session_module.Current(runtime.monotonic)
        self.supervised = False
        self._driver = driver
        self._settings = settings
        self._calls = calls
        self._events = events
        self._outage = outage
        self._messenger = messenger
        self._runtime = runtime
        self._retired = session_module.Retired(
            calls, runtime, timeout_s=settings.connect_timeout_s)
        self._announcer = announcer_module.Announcer(
            messenger, lambda enabled: driver.set_host_enabled(
                settings.host, enabled),
            self.current, grace_s=settings.service_down_grace_s)
        self._worker = self._new_worker()
        self._woken: list[Callable[[], None]] = []
        self._under_way: Attempt | None = None
        self._stopped = False
        # Of which period between start and stop an attempt is.
        self._period = 0
        self._failures = 0
        # Which failure the next attempt is for: one that comes in between
        # puts it off, and does not add another one.
        self._retry = 0

    def when_connected(self, wake: Callable[[], None]) -> None:
        """Have *wake* called for each session from now on.

        It must neither block nor raise.
        """
        self._woken.append(wake)

    @property
    def breaker(self) -> connection_spec.Breaker:
        """What a caller gets that wants a connection now."""
        refused = self.current.session is None and (
            self._stopped or self._is_failing())
        return (connection_spec.Breaker.OPEN if refused
                else connection_spec.Breaker.CLOSED)

    def start(self) -> None:
        """Supervise the connection from now on."""
        with self.current.lock:
            if self._stopped:
                self._stopped = False
                self._worker = self._new_worker()
                self._retired.start()
                self._messenger.start()
            self.supervised = True
            self._failures = 0

    def stop(self) -> None:
        """Drop the session and stop the threads; takes two seconds at most.

        Until :meth:`start` there is no connection any more. The record of
        the compute service stays as it is.
        """
        with self.current.lock:
            self._stopped = True
            self.supervised = False
            self.current.settle()
            self._period += 1
            self._under_way = None
        self._drop(self.current.session, 'the driver was stopped')
        with self.current.lock:
            self.current.advance(session_module.State.DISCONNECTED)
        self._worker.stop(_STOP_S)
        self._retired.stop(_STOP_S)
        self._events.reader.stop(_STOP_S)
        self._messenger.stop()

    def listen(self) -> None:
        """Be ready for what libvirt says; the first session does that too."""
        self._events.reader.ensure_running(self.closed)

    # What callers use.

    def connection(self) -> protocol.Connection:
        """Share the attempt under way, or have one made.

        :raises HypervisorUnavailable: it failed
        """
        if self._worker.inside() or self._messenger.inside():
            # A hook of the attempt itself, or a port that is notified of it.
            raise self.unavailable('it is being connected')
        with self.current.lock:
            if self.current.session is not None:
                return self.current.session.connection
            if self._stopped:
                raise self.unavailable('the driver was stopped')
            if self._is_failing():
                raise self._failure_of(self.current.failure)
            attempt = self._shared()
            is_blip = self.supervised and self.current.generation > 0
        return self._wait(attempt, _BLIP_S if is_blip else None)

    def renew(self) -> protocol.Connection:
        """Open a connection and make it the session, whatever there was.

        The compute service is notified of the outcome either way.

        :raises HypervisorUnavailable: it failed
        """
        period = self._period
        if self._worker.inside():
            return self._attempt(period)
        return self._wait(self._worker.submit(lambda: self._attempt(period)))

    def install(self, connection: protocol.Connection | None) -> None:
        """Take a connection that was opened elsewhere, or none."""
        self._drop(self.current.session, 'another one was installed')
        if connection is not None:
            session = self._session_of(connection)
            with self.current.lock:
                self.current.take(session)

    # What libvirt says.

    def closed(self, news: inbox_module.Closed) -> None:
        """Take note that libvirt closed a session; old news are nothing."""
        with self.current.lock:
            session = self.current.session
        if session is not None and session.generation == news.generation:
            self.lose(session, news.words)

    def receive(
            self, domain: protocol.Domain, number: int, detail: int,
            opaque: object) -> None:
        """Take a lifecycle event; on a thread of libvirt, never blocks.

        :param opaque: generation of the session that reports it; anything
            else counts as the present one
        """
        self._events.subscriptions.receive(
            domain, number, detail,
            opaque if isinstance(opaque, int) else self.current.generation)

    # What becomes of a session that breaks.

    def lose(self, session: session_module.Session, reason: str) -> None:
        """Drop a session that broke, and see to it that it is replaced."""
        if not self._drop(session, reason, lost=True):
            return
        LOG.warning('The connection to libvirt is lost: %s', reason)
        if self.supervised:
            self._recover()
        else:
            # None is opened before a caller asks for one.
            self._worker.submit(self._announcer.announce)

    def replace(self, session: session_module.Session, reason: str) -> None:
        """Drop a session that its user has found broken."""
        # The user has another one made at once, unless it is a port.
        if self._drop(session, reason, lost=True):
            self._recover()

    def _drop(
            self, session: session_module.Session | None,
            reason: str, *, lost: bool = False) -> bool:
        failure = self.unavailable(reason)
        with self.current.lock:
            if session is None or self.current.session is not session:
                return False
            self.current.lose(failure, is_outage=lost and self.supervised)
        self._retired.retire(session)
        return True

    def _recover(self) -> None:
        with self.current.lock:
            if self.supervised and self.current.session is None:
                self._shared()

    # How an attempt is shared.

    def _is_failing(self) -> bool:
        """Say whether it is got back in the background, without success."""
        return self.supervised and self._failures > 0

    def _shared(self) -> Attempt:
        """Return the attempt under way; begin one unless there is.

        The caller holds the lock.
        """
        if self._under_way is None or self._under_way.done():
            self._under_way = self._worker.submit(functools.partial(
                self._connect, self._period, self._failures))
        return self._under_way

    def _connect(self, period: int, failures: int) -> protocol.Connection:
        session = self.current.session
        if session is not None and not session.closed:
            # Another caller was faster.
            return session.connection
        self._check(period)
        if self._failures > failures:
            # The attempt that was under way has just failed.
            raise self._failure_of(self.current.failure)
        return self._driver._get_new_connection()

    def _check(self, period: int) -> None:
        if period != self._period:
            raise self.unavailable('the driver was stopped')

    def _wait(
            self, attempt: Attempt,
            patience_s: float | None = None) -> protocol.Connection:
        # Twice the deadline, to open and to set up, and a margin.
        timeout_s = patience_s or 2 * self._settings.connect_timeout_s + 2
        try:
            failure = attempt.exception(timeout_s)
        except TimeoutError:
            raise self.unavailable(
                f'no connection within {timeout_s:g} s') from None
        except futures.CancelledError:
            raise self.unavailable('the driver was stopped') from None
        if failure is None:
            return attempt.result()
        # Not the object itself: others raise it at the same time.
        raise self._failure_of(failure) from failure

    def _failure_of(
            self, error: BaseException | None) -> exception.DriverError:
        """Return an error for one caller who has met another."""
        return exception.again(error) or self.unavailable(str(error or ''))

    def unavailable(self, reason: str) -> exception.HypervisorUnavailable:
        """Return the error that says that there is no connection."""
        return exception.HypervisorUnavailable(
            host=self._settings.host, uri=self._driver.uri(), reason=reason)

    # How one is made; all on the worker.

    def _attempt(self, period: int) -> protocol.Connection:
        self._check(period)
        self._drop(self.current.session, 'it is being replaced')
        with self.current.lock:
            self.current.advance(session_module.State.CONNECTING)
        try:
            connection = self._driver._connect(
                self._driver.uri(), self._driver.read_only)
            self._adopt(connection, period)
        except Exception as error:
            self._failed(error, period)
            raise
        finally:
            if period == self._period:
                self._announcer.outcome(failures=self._failures)
        return connection

    def _adopt(self, connection: protocol.Connection, period: int) -> None:
        session = self._session_of(connection)
        uri = self._driver.uri()
        try:
            self._check(period)
            self.listen()
            self._calls.run(
                lambda: session.set_up(
                    self._settings, self._events.subscriptions),
                name=f'setting up the connection to {uri}',
                label='setting up a connection',
                timeout_s=self._settings.connect_timeout_s,
                late=lambda nothing: session.close())
        except exception.CallTimeout:
            raise
        except Exception as error:
            self._retired.retire(session)
            raise errors.cannot_open(
                error, host=self._settings.host, uri=uri) from error
        inbox_module.log_problems(session.problems, uri)
        self._publish(session, period)

    def _session_of(
            self, connection: protocol.Connection) -> session_module.Session:
        with self.current.lock:
            self.current.generation += 1
            generation = self.current.generation
        turn = turn_module.turn_of(connection) or turn_module.Turn(
            host=self._settings.host,
            timeout_s=self._settings.call_timeout_s,
            observation=self._calls.observation, runtime=self._runtime)
        return session_module.Session(
            connection, turn_module.raw(connection), turn, generation)

    def _publish(
            self, session: session_module.Session, period: int) -> None:
        with self.current.lock:
            wanted = period == self._period and not session.closed
            doomed: session_module.Session | None = session
            if wanted:
                doomed = self.current.take(session)
                # A caller that finds it broken from now on wants another.
                self._under_way = None
                self.current.settle()
                self.current.failure = None
                self._failures = 0
        if doomed is not None:
            self._retired.retire(doomed)
        if not wanted:
            raise self.unavailable('it was closed while being set up')
        self._outage.over()
        LOG.info('Connected to libvirt at %s (connection %d)',
                 self._driver.uri(), session.generation)
        for wake in self._woken:
            wake()

    # What follows one that fails.

    def _failed(self, error: Exception, period: int) -> None:
        if period != self._period:
            return
        failure = self._failure_of(error)
        self._outage.report(failure)
        with self.current.lock:
            if period != self._period:
                return
            self._under_way = None
            self._failures += 1
            if self.current.session is None:
                self.current.failure = failure
                self.current.advance(session_module.State.BROKEN)
            if self.supervised:
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

    def _new_worker(self) -> worker_module.Worker:
        return worker_module.Worker('libvirt-keeper', self._runtime)


class Recheck:
    """Compares what is known of guests with what libvirt says later.

    A daemon that has been started again lists guests as running before it has
    reached their QEMU processes. Of one that it finds dead then it sends no
    event (seen with libvirt 9.0: the domain is off, or gone).

    :param look: lists all guests
    """

    def __init__(
            self, current: session_module.Current,
            router: router_module.Router,
            look: Callable[[], list[decode.Report]], *,
            delays_s: Sequence[float] = RECHECKS_S,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        self._current = current
        self._look_now = look
        self._router = router
        self._delays_s = delays_s
        self._runtime = runtime
        self._lock = threading.Lock()
        self._worker: worker_module.Worker | None = None
        self._generation = 0

    def start(self) -> None:
        """Look after each :meth:`wake` from now on."""
        self.stop()
        with self._lock:
            self._worker = worker_module.Worker(
                'libvirt-recheck', self._runtime)
            self._generation = 0

    def stop(self) -> None:
        """Look no more; hardly waits for a look that is under way."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(_RECHECK_STOP_S)

    def wake(self) -> None:
        """Take note that there may be another connection; never blocks."""
        generation = self._current.generation
        with self._lock:
            worker = self._worker
            if worker is None or generation == self._generation:
                return
            self._generation = generation
        for delay_s in self._delays_s:
            # Only jobs of a worker may have something done later.
            worker.submit(functools.partial(
                worker.later, delay_s,
                functools.partial(self._look, generation)))

    def _look(self, generation: int) -> None:
        # Another connection has a plan of its own.
        if generation != self._generation:
            return
        try:
            before = self._router.guests()
            reports = self._look_now()
        except exception.DriverError as error:
            LOG.debug('Guests were not looked for again: %s', error)
            return
        self._router.confirm(before, reports, generation)
