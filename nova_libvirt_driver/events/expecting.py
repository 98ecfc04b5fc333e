# SPDX-License-Identifier: Apache-2.0

"""Waiting for what happens to a guest, without asking it again and again.

Who waits says how to look the outcome up as well: events that came while
there was no connection are lost, and some hypervisors send none.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import queue
import threading
import time

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import event

Settles = Callable[[event.GuestEvent | None], bool]
Kinds = tuple[type[event.GuestEvent], ...]

_TICK_S = 0.5
_LOOK_MIN_S, _LOOK_MAX_S = 0.5, 4.0
_DOUBT_S = 60.0
"""After so long without an outcome, one may have been missed all the same."""


class Expectation:
    """Some events of one guest, seen from a certain moment on.

    :ivar clock: by which it waits: seconds, monotonic
    """

    def __init__(
            self, kinds: Kinds, hears: Callable[[], int | None],
            waits: 'Waits') -> None:
        self._kinds = kinds
        self._hears = hears
        self._waits = waits
        self.clock = waits.clock
        self._seen: queue.SimpleQueue[event.GuestEvent]
        self._seen = queue.SimpleQueue()
        self._woken = threading.Event()
        self._session = hears()

    def take(self, item: event.GuestEvent) -> None:
        """Note an event if it is one that is expected; never blocks."""
        if isinstance(item, self._kinds):
            self._seen.put(item)
            self._woken.set()

    def wait(
            self, settles: Settles, timeout_s: float,
            tick: Callable[[], object] = lambda: None) -> bool:
        """Wait until something settles the matter; say whether it is.

        While events arrive, nothing is looked up, but once a minute in case
        one was lost. It is after a reconnect, every few seconds where no such
        events arrive, and when the time is over.

        :param settles: told of each event, and of None in order to look up
            how things are; may raise to end the wait. When it raises
            HypervisorUnavailable, the wait goes on until the time is over.
        :param tick: called about twice a second; may raise to end the wait
        :raises HypervisorUnavailable: there is no connection when the time
            is over
        """
        deadline = self.clock() + timeout_s
        look_s, looked_at = _LOOK_MIN_S, self.clock()
        while True:
            self._woken.clear()
            if self._has_settled(settles):
                return True
            now = self.clock()
            if now >= deadline:
                return settles(None)
            session = self._hears()
            if session is not None and (
                    session != self._session
                    or now >= looked_at + (_DOUBT_S if session else look_s)):
                if self._looked_up(settles, session):
                    return True
                looked_at = now
                look_s = min(2 * look_s, _LOOK_MAX_S)
            tick()
            self._waits.pause(self._woken, min(_TICK_S, deadline - now))

    def _has_settled(self, settles: Settles) -> bool:
        while not self._seen.empty():
            try:
                if settles(self._seen.get()):
                    return True
            except exception.HypervisorUnavailable:
                # Looked up as soon as there is a connection again.
                self._session = None
        return False

    def _looked_up(
            self, settles: Settles, session: int) -> bool:
        try:
            settled = settles(None)
        except exception.HypervisorUnavailable:
            return False
        self._session = session
        return settled


class Waits:
    """Hands events to those who wait for them.

    :param clock: seconds, monotonic
    :param pause: waits for an event, some seconds at most
    :ivar listener: takes every event, whether one waits for it or not, as
        who waits may be about another device; must not block
    """

    def __init__(
            self, *, clock: Callable[[], float] = time.monotonic,
            pause: Callable[[threading.Event, float], object] = (
                threading.Event.wait)) -> None:
        self.clock = clock
        self.pause = pause
        self.listener: Callable[[event.GuestEvent], object] = (
            lambda item: None)
        self._lock = threading.Lock()
        self._takers: dict[str, list[Callable[[event.GuestEvent], None]]] = {}

    def take(self, item: event.GuestEvent) -> None:
        """Hand an event to those who expect it; never blocks."""
        with self._lock:
            takers = list(self._takers.get(item.uuid, ()))
        for take in takers:
            take(item)
        self.listener(item)

    @contextlib.contextmanager
    def expecting(
            self, uuid: str, kinds: Kinds,
            hears: Callable[[], int | None],
    ) -> Iterator[Expectation]:
        """See every event of these kinds of a guest from now on.

        :param hears: returns the number of the session in which events of
            these kinds arrive; 0 when they do not, None without a session
        """
        expectation = Expectation(kinds, hears, self)
        with self._lock:
            self._takers.setdefault(uuid, []).append(expectation.take)
        try:
            yield expectation
        finally:
            with self._lock:
                self._takers[uuid].remove(expectation.take)
                if not self._takers[uuid]:
                    del self._takers[uuid]
