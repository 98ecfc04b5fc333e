# SPDX-License-Identifier: Apache-2.0

"""How many threads may be inside libvirt at a time."""

import threading
import time

from oslo_log import log as logging

from nova_libvirt_driver.connection import native
from nova_libvirt_driver import exception

LOG = logging.getLogger(__name__)

_LOOK_S = 0.1


class Budget:
    """Gives out the places of calls that run on threads of their own.

    Who finds none waits for one, unless all of them are lost to calls that
    hang. The place of an abandoned call is given back on its native thread,
    which in an eventlet process cannot wake a green one: it is counted
    there, and taken up by whoever waits or comes next.
    """

    def __init__(self, limit: int) -> None:
        # Nobody does anything but arithmetic while holding the native lock.
        self._lock = native.original('threading').Lock()
        self._places = threading.Semaphore(limit)
        self.limit = limit
        self._returned = 0
        self.running = 0
        self.abandoned = 0
        self._is_said = False

    def enter(self, name: str, timeout_s: float) -> None:
        """Take a place.

        :raises CallBudgetExhausted: all places hang, or none is free in
            *timeout_s*
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self._take_up()
            left_s = max(0.0, deadline - time.monotonic())
            if self.abandoned >= self.limit:
                break
            if self._places.acquire(timeout=min(_LOOK_S, left_s)):
                with self._lock:
                    self.running += 1
                self._is_said = False
                return
            if not left_s:
                break
        self._say(name)
        raise exception.CallBudgetExhausted(call=name, limit=self.limit)

    def _say(self, name: str) -> None:
        """Log the first refusal, until a call is let in again."""
        if self._is_said:
            return
        self._is_said = True
        LOG.error('No thread is left for %s: of %d calls of its kind that '
                  'may run, %d hang. Calls are refused until some come '
                  'back; see "nova-libvirt doctor".',
                  name, self.limit, self.abandoned)

    def abandon(self) -> None:
        """Note that a running call has lost its caller."""
        with self._lock:
            self.abandoned += 1

    def end(self, *, was_abandoned: bool) -> None:
        """Note that a call has ended; on its native thread."""
        with self._lock:
            self.running -= 1
            if was_abandoned:
                self.abandoned -= 1
                self._returned += 1

    def leave(self) -> None:
        """Give the place of a call back that was not abandoned."""
        self._places.release()

    def _take_up(self) -> None:
        with self._lock:
            returned, self._returned = self._returned, 0
        if returned:
            self._places.release(returned)
