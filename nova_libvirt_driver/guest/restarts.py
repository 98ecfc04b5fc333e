# SPDX-License-Identifier: Apache-2.0

"""Guests that an operation stops in order to start them again.

Their stop is none of the instance: who hears of it would write down that
it is off, or stop it once more.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import threading

from nova_libvirt_driver.spec import event

_STOPS = (event.Transition.STOPPED, event.Transition.CRASHED)

# How long the event of a start may be behind the answer to the start.
_LATE_S = 1.0


class _Restart:
    """What has been heard of one guest since its operation began."""

    def __init__(self) -> None:
        self.stops: list[event.LifecycleEvent] = []
        self.settled = threading.Event()
        self.settled.set()


class Restarts:
    """Holds back the stop of a guest until it is known what becomes of it.

    :param forward: takes each event; must not block
    """

    def __init__(
            self, forward: Callable[[event.LifecycleEvent], None]) -> None:
        self._forward = forward
        # Held while forwarding, too: a stop that is let go must not come
        # behind the start that follows it.
        self._lock = threading.Lock()
        self._restarts: dict[str, _Restart] = {}

    def take(self, item: event.LifecycleEvent) -> None:
        """Pass an event on, or hold it; never blocks."""
        with self._lock:
            restart = self._restarts.get(item.uuid)
            if restart is not None:
                if item.transition in _STOPS:
                    restart.stops.append(item)
                    restart.settled.clear()
                    return
                if item.transition is event.Transition.STARTED:
                    restart.stops.clear()
                    restart.settled.set()
            self._forward(item)

    @contextlib.contextmanager
    def during(self, uuid: str) -> Iterator[None]:
        """Hold back stops of a guest while an operation restarts it.

        A stop that no start has followed a second after the operation
        ended is passed on then. One operation at a time for each guest.
        """
        restart = _Restart()
        with self._lock:
            self._restarts[uuid] = restart
        try:
            yield
        finally:
            restart.settled.wait(_LATE_S)
            with self._lock:
                del self._restarts[uuid]
                for stop in restart.stops:
                    self._forward(stop)
