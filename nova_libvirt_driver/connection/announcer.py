# SPDX-License-Identifier: Apache-2.0

"""When the compute service is told that a connection is lost, or back.

A loss that is over within the grace is nobody's business: a daemon that is
restarted should not make a scheduler look elsewhere.
"""

from collections.abc import Callable

from nova_libvirt_driver.connection import herald as herald_module
from nova_libvirt_driver.connection import runtime as runtime_module

_SERVICE = 'the compute service'


class Announcer:
    """Knows since when a connection is lost, and has the service told.

    :param tell: makes the record of the service agree
    :param is_connected: says whether there is a connection now
    :param grace_s: for how long a loss is not told
    """

    def __init__(
            self, herald: herald_module.Herald,
            tell: Callable[[bool], None],
            is_connected: Callable[[], bool], *, grace_s: float,
            runtime: runtime_module.Runtime) -> None:
        self._herald = herald
        self._tell_service = tell
        self._is_connected = is_connected
        self._grace_s = grace_s
        self._runtime = runtime
        # When a connection was lost that nobody has got back yet.
        self._lost_at_s: float | None = None

    @property
    def lost_for_s(self) -> float | None:
        """How long ago a connection was lost that is not back yet."""
        lost_at_s = self._lost_at_s
        return None if lost_at_s is None else (
            self._runtime.monotonic() - lost_at_s)

    def lost(self) -> None:
        """Take note that the connection was lost and is to be got back."""
        self._lost_at_s = self._runtime.monotonic()

    def settled(self) -> None:
        """Take note that it is back, or that nobody wants it any more."""
        self._lost_at_s = None

    def outcome(self, *, failures: int) -> None:
        """Announce how an attempt ended; a loss only if it lasts.

        :param failures: how many attempts have failed, one after the other
        """
        left_s = self._left_s()
        if self._is_connected() or left_s <= 0:
            self.announce()
        elif failures == 1:
            self._herald.tell_later(left_s, _SERVICE, self._tell)

    def announce(self) -> None:
        """Have the service told how things are; waits a second at most."""
        self._herald.tell(_SERVICE, self._tell, is_state=True)

    def _tell(self) -> None:
        self._tell_service(self._is_connected() or self._left_s() > 0)

    def _left_s(self) -> float:
        """Return what is left of the grace."""
        lost_for_s = self.lost_for_s
        return 0.0 if lost_for_s is None else self._grace_s - lost_for_s
