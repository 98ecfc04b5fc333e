# SPDX-License-Identifier: Apache-2.0

"""One live connection to libvirt, with everything that hangs on it.

Also which one there is now, the states of the connection, and sessions that
are not to be used any more.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import threading
import time
from typing import Any

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.calls import calls as calls_module
from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.calls import runtime as runtime_module
from nova_libvirt_driver.calls import turn as turn_module
from nova_libvirt_driver.calls import worker
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import inbox as inbox_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import connection as connection_spec

LOG = logging.getLogger(__name__)

# How long to wait for the turn to close a session, and when to look again
# whether a call has left it.
_TURN_S, _INSIDE_S = 0.5, 0.5

State = connection_spec.ConnectionState

ALLOWED = frozenset({
    (State.DISCONNECTED, State.CONNECTING),
    (State.CONNECTING, State.CONNECTED),
    # The attempt failed.
    (State.CONNECTING, State.BROKEN),
    # The service stopped while the attempt was under way.
    (State.CONNECTING, State.DISCONNECTED),
    # Libvirt said that the session is gone, or a test of it failed.
    (State.CONNECTED, State.BROKEN),
    (State.CONNECTED, State.DISCONNECTED),
    (State.BROKEN, State.CONNECTING),
    (State.BROKEN, State.DISCONNECTED),
})
"""Pairs of a state and one that may follow it."""


@dataclasses.dataclass(eq=False, slots=True)
class Session:
    """A connection and the generation number that tells it from others.

    :meth:`set_up` and :meth:`close` run on a native thread, with a deadline
    that others keep: they neither log nor wait for anything but libvirt.
    """

    connection: protocol.Connection
    """What callers get; its calls take turns."""
    raw: protocol.Connection
    """The same without turns, for native threads."""
    turn: turn_module.Turn
    generation: int
    callback_ids: list[int] = dataclasses.field(default_factory=list)
    subscribed: set[str] = dataclasses.field(default_factory=set)
    """Libvirt's names of the kinds of events that arrive."""
    has_close_callback: bool = False
    keepalive: bool = False
    problems: list[Exception] = dataclasses.field(default_factory=list)
    """What could not be set up; the session is usable all the same."""

    @property
    def events(self) -> bool:
        """Lifecycle events arrive."""
        return bool(self.callback_ids)

    @property
    def closed(self) -> bool:
        """Libvirt has said that the link is gone."""
        return self.turn.closed

    @property
    def vouched_for(self) -> bool:
        """Libvirt itself watches the link and says when it breaks."""
        return (self.keepalive and self.has_close_callback
                and not self.closed)

    def set_up(
            self, settings: settings_module.Settings,
            subscriptions: inbox_module.Subscriptions) -> None:
        """Set keepalive, register the callbacks and list the guests.

        What the hypervisor does not support is left out. Events of the
        session wait in the inbox behind the listing.

        :raises libvirt.libvirtError: the link broke meanwhile
        """
        # First, because from here on a daemon that hangs is noticed.
        self._set_keepalive(settings)
        self._register_close_callback(subscriptions.inbox)
        self._subscribe(subscriptions)
        subscriptions.inbox.put(
            inbox_module.Listed(self.generation, self._list()))

    def close(self) -> None:
        """Deregister everything and close the connection.

        A callback that stayed registered would keep the connection, its
        sockets and its memory for the life of the process.
        """
        for callback_id in self.callback_ids:
            _quietly(self.raw.domainEventDeregisterAny, callback_id)
        if self.has_close_callback:
            _quietly(self.raw.unregisterCloseCallback)
        _quietly(self.raw.close)

    def _set_keepalive(self, settings: settings_module.Settings) -> None:
        try:
            # 0: set; 1: the daemon does not answer keepalive messages.
            self.keepalive = self.raw.setKeepAlive(
                settings.keepalive_interval_s,
                settings.keepalive_count) == 0
        except libvirt.libvirtError as error:
            if errors.is_broken_link(error):
                raise
            # No link that could break: the hypervisor is in this process.
            self.turn.needed = not errors.is_unsupported(error)

    def _register_close_callback(self, inbox: inbox_module.Inbox) -> None:
        turn, generation = self.turn, self.generation

        def closed(connection: object, reason: int, opaque: object) -> None:
            # May run on a thread that is inside a call of ours.
            turn.closed = True
            inbox.put(inbox_module.Closed(generation, reason))

        with self._noting():
            self.raw.registerCloseCallback(closed, None)
            self.has_close_callback = True

    def _subscribe(self, subscriptions: inbox_module.Subscriptions) -> None:
        for name, event_id, callback in subscriptions.all():
            with self._noting(name):
                self.callback_ids.append(self.raw.domainEventRegisterAny(
                    None, event_id, callback, self.generation))
                self.subscribed.add(name)
            if not self.callback_ids:
                # Lifecycle events come first; without them no others.
                return

    def _list(self) -> list[decode.Report] | None:
        if self.events:
            with self._noting():
                return decode.reports(self.raw)
        return None

    @contextlib.contextmanager
    def _noting(self, kind: str = '') -> Iterator[None]:
        """Note what cannot be had, unless the link is broken.

        :param kind: of events, in libvirt's words
        """
        try:
            yield
        except libvirt.libvirtError as error:
            if errors.is_broken_link(error):
                raise
            self.problems.append(
                inbox_module.Missing(kind, error) if kind else error)
        except (TypeError, ValueError) as error:
            self.problems.append(error)


def _quietly(function: Callable[..., Any], *args: object) -> None:
    try:
        function(*args)
    except libvirt.libvirtError:
        # Expected of a dead connection; it lets go of its callbacks all
        # the same.
        return


def works(connection: protocol.Connection) -> bool:
    """Say whether the connection still works; asks for libvirt's version.

    :raises libvirt.libvirtError: its answer does not say that the link is
        broken
    """
    try:
        connection.getLibVersion()
    except libvirt.libvirtError as error:
        if not errors.is_broken_link(error):
            raise
        return False
    return True


class Current:
    """The session there is now, if any, and the state of the connection.

    Read without the lock; callers of a method that changes it hold the
    lock.

    :param monotonic: tells the time, in seconds
    """

    def __init__(
            self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.Lock()
        """Libvirt is never called while it is held."""
        self.session: Session | None = None
        """It may be broken already."""
        self.state = State.DISCONNECTED
        self.generation = 0
        """How many sessions there have been, usable or not."""
        self.sessions = 0
        """How often the state has become CONNECTED."""
        self.failure: exception.DriverError | None = None
        """Why there is no connection."""
        self._monotonic = monotonic
        # When it came into its state.
        self._since_s = monotonic()
        # When a session was lost that is to be replaced, and is not yet.
        self._lost_at_s: float | None = None

    def advance(self, following: State) -> None:
        """Be in a state; nothing when it is the present one.

        :raises ValueError: it may not follow the present one
        """
        if self.state == following:
            return
        if (self.state, following) not in ALLOWED:
            raise ValueError(f'{self.state} may not become {following}')
        self.state = following
        self._since_s = self._monotonic()
        self.sessions += following == State.CONNECTED

    def take(
            self, session: Session
    ) -> Session | None:
        """Have a session; return the one that it replaces."""
        replaced, self.session = self.session, session
        if self.state != State.CONNECTED:
            self.advance(State.CONNECTING)
            self.advance(State.CONNECTED)
        return replaced

    def lose(
            self, failure: exception.DriverError, *,
            is_outage: bool) -> None:
        """Have no session any more.

        :param is_outage: it broke, and is to be replaced
        """
        self.session = None
        self.failure = failure
        if is_outage:
            self._lost_at_s = self._monotonic()
        self.advance(State.BROKEN)

    def settle(self) -> None:
        """Note that it is back, or that none is wanted any more."""
        self._lost_at_s = None

    @property
    def age_s(self) -> float:
        """How long it has been in its state."""
        return self._monotonic() - self._since_s

    @property
    def reconnects(self) -> int:
        """How many sessions were had after the first one."""
        return max(0, self.sessions - 1)

    @property
    def lost_for_s(self) -> float | None:
        """How long ago a session was lost that is not back yet."""
        lost_at_s = self._lost_at_s
        return None if lost_at_s is None else self._monotonic() - lost_at_s

    @property
    def last_error(self) -> str:
        """Why there is no connection, or an empty text."""
        failure = self.failure
        return '' if failure is None else str(failure)


class Retired:
    """Holds sessions that are not to be used any more, and closes them."""

    def __init__(
            self, calls: calls_module.Calls,
            runtime: runtime_module.Runtime = runtime_module.PROCESS, *,
            timeout_s: float) -> None:
        self._calls = calls
        self._runtime = runtime
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._sessions: list[Session] = []
        self.start()

    def start(self) -> None:
        """Work again after :meth:`stop`."""
        self._closer = worker.Worker('libvirt-closer', self._runtime)

    def stop(self, timeout_s: float) -> None:
        """End when all are closed; waits for *timeout_s* at most."""
        self._closer.finish(timeout_s)

    def retire(self, session: Session) -> None:
        """Take a session and have it closed; never blocks."""
        self.add(session)
        if self._closer.submit(self._close_all).cancelled():
            # The driver was stopped meanwhile.
            self.close()

    def _close_all(self) -> None:
        if not self.close():
            self._closer.later(_INSIDE_S, self._close_all)

    def add(self, session: Session) -> None:
        """Take a session, which lets no caller in any more; never blocks."""
        # Closing may outlive its deadline, and with it the turn it holds.
        session.turn.closed = True
        with self._lock:
            self._sessions.append(session)

    def close(self) -> bool:
        """Close what can be closed; say whether that was everything."""
        with self._lock:
            waiting, self._sessions = self._sessions, []
        left = [one for one in waiting if not self._close(one)]
        with self._lock:
            self._sessions.extend(left)
            return not self._sessions

    def _close(self, session: Session) -> bool:
        with session.turn.last(_TURN_S) as is_taken:
            if not is_taken:
                return False
            try:
                self._calls.run(session.close, name='closing a connection',
                                timeout_s=self._timeout_s)
            except exception.CallBudgetExhausted:
                return False
            except exception.DriverError as error:
                # The thread that closes it goes on until it has.
                LOG.debug('An old connection is not closed yet: %s', error)
            return True
