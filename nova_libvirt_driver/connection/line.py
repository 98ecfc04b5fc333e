# SPDX-License-Identifier: Apache-2.0

"""A lock that is handed to those who wait in the order in which they came.

A semaphore lets whoever has just given it back take it again before those who
wait: with many callers, some wait a thousand times as long as others.
"""

import collections
import threading

from nova_libvirt_driver.connection import runtime as runtime_module


class Place:
    """The place of one who waits."""

    def __init__(self, runtime: runtime_module.Runtime) -> None:
        self.called = runtime.semaphore(0)
        self.has_it = False


class Line:
    """Taken and given back by (green) threads, by any of them."""

    def __init__(self, runtime: runtime_module.Runtime) -> None:
        self._runtime = runtime
        # Held for a few instructions only.
        self._lock = threading.Lock()
        self._is_taken = False
        self._places: collections.deque[Place] = collections.deque()

    def join(self) -> Place | None:
        """Take it if it is free, or return a place behind the others."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return None
            place = Place(self._runtime)
            self._places.append(place)
            return place

    def wait(self, place: Place, timeout_s: float) -> bool:
        """Wait for it; say whether it was handed over."""
        return place.called.acquire(timeout=timeout_s)

    def leave(self, place: Place) -> bool:
        """Give a place up; say whether it was handed over just now."""
        with self._lock:
            if not place.has_it:
                self._places.remove(place)
            return place.has_it

    def release(self) -> None:
        """Hand it to who waits for the longest time."""
        with self._lock:
            if not self._places:
                self._is_taken = False
                return
            place = self._places.popleft()
            place.has_it = True
        place.called.release()
