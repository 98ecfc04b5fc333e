# SPDX-License-Identifier: Apache-2.0

"""Which states of the connection may follow which.

The states themselves, with what each means, are in ``spec.connection``::

    DISCONNECTED -> CONNECTING -> CONNECTED -> BROKEN -> CONNECTING ...
"""

from collections.abc import Callable
import time

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


class Life:
    """The state of one connection, since when, and how often it came back.

    Changed under the supervisor's lock, read without it.

    :param monotonic: tells the time, in seconds
    """

    def __init__(
            self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.state = State.DISCONNECTED
        self.sessions = 0
        """How often the state has become CONNECTED."""
        self._since_s = self._monotonic()

    def advance(self, following: State) -> None:
        """Be in a state; nothing when it is the present one.

        :raises ValueError: it may not follow the present one
        """
        if self.state == following:
            return
        self.state = advance(self.state, following)
        self._since_s = self._monotonic()
        self.sessions += following == State.CONNECTED

    def age_s(self) -> float:
        """Return how long it has been in its state."""
        return self._monotonic() - self._since_s
