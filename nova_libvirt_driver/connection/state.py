# SPDX-License-Identifier: Apache-2.0

"""The session there is now, and the states of the connection."""

from collections.abc import Callable
import threading
import time

from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import connection as connection_spec

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


def advance(current: State, following: State) -> State:
    """Return *following*.

    :raises ValueError: it may not follow *current*
    """
    if (current, following) not in ALLOWED:
        raise ValueError(f'{current} may not become {following}')
    return following


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
        self.session: session_module.Session | None = None
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
        self.state = advance(self.state, following)
        self._since_s = self._monotonic()
        self.sessions += following == State.CONNECTED

    def take(
            self, session: session_module.Session
    ) -> session_module.Session | None:
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
