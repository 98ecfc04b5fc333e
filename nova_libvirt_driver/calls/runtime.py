# SPDX-License-Identifier: Apache-2.0

"""Time, chance and threads of this process, and who hears what takes long.

A process is an eventlet process when eventlet has replaced the standard
library's threads; that some library has merely imported eventlet does not
make it one, and it is never imported from here.
"""

import collections
from collections.abc import Callable
from concurrent import futures
import importlib
import queue
import random
import sys
import threading
import time
from types import ModuleType
from typing import Any
from typing import Protocol
from typing import TypeVar

from nova_libvirt_driver import ports

T = TypeVar('T')

OK = 'ok'
"""The outcome of what raises nothing; of anything else its class."""

_LOOK_AGAIN_S = 0.01


def in_eventlet_process() -> bool:
    """Say whether threads of this process are eventlet's green ones."""
    patcher = sys.modules.get('eventlet.patcher')
    return patcher is not None and bool(patcher.is_monkey_patched('thread'))


def original(name: str) -> ModuleType:
    """Return a standard module as it is without eventlet.

    Code that libvirt runs on threads of its own must not touch a green
    lock or queue: it would switch to another hub, or hang.
    """
    if in_eventlet_process():
        original_of = sys.modules['eventlet.patcher'].original
        module: ModuleType = original_of(name)
        return module
    return importlib.import_module(name)


class Thread(threading.Thread):
    """A thread, a green one in an eventlet process.

    Its join keeps to its deadline, whatever it runs on. In an eventlet
    process with Python 3.13, joining a thread of the standard library with a
    timeout raises eventlet's Timeout, which is not an Exception, instead of
    returning (seen with eventlet 0.41.3). So the package starts no other
    threads than these.
    """

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended, or *timeout* seconds passed."""
        if timeout is not None and in_eventlet_process():
            join(self, timeout)
        else:
            super().join(timeout)


def join(thread: threading.Thread, timeout_s: float) -> bool:
    """Wait for any thread; return whether it has ended.

    Blocks for *timeout_s* seconds at most.
    """
    if not in_eventlet_process():
        thread.join(timeout_s)
        return not thread.is_alive()
    deadline = time.monotonic() + timeout_s
    while thread.is_alive():
        rest_s = deadline - time.monotonic()
        if rest_s <= 0:
            return False
        # Lets the other green threads run.
        time.sleep(min(rest_s, _LOOK_AGAIN_S))
    return True


class Queue(Protocol):
    """What is used of a ``queue.SimpleQueue``."""

    def put(self, item: Any) -> None: ...

    def get(
            self, block: bool = True,
            timeout: float | None = None) -> Any: ...

    def empty(self) -> bool: ...


class Semaphore(Protocol):
    """What is used of a ``threading.Semaphore``."""

    def acquire(
            self, blocking: bool = True,
            timeout: float | None = None) -> bool: ...

    def release(self) -> None: ...


class Gate(Protocol):
    """What is used of a ``threading.Lock``."""

    def acquire(
            self, blocking: bool = True, timeout: float = -1) -> bool: ...

    def release(self) -> None: ...


class Runtime:
    """Where the connection gets time, chance and threads from.

    A test can give others, which it runs step by step: see
    ``testing.stepped``. What waits for libvirt itself is not here but in
    ``calls``.
    """

    def monotonic(self) -> float:
        """Return seconds since some time that stays the same."""
        return time.monotonic()

    def uniform(self, low: float, high: float) -> float:
        """Return a number by chance."""
        return random.uniform(low, high)

    def thread(
            self, name: str, run: Callable[[], object]) -> threading.Thread:
        """Return a daemon thread that is not started yet."""
        return Thread(target=run, name=name, daemon=True)

    def queue(self) -> Queue:
        return queue.SimpleQueue()

    def gate(self) -> Gate:
        """Return one that is closed: to acquire it is to wait for it."""
        lock = threading.Lock()
        lock.acquire()
        return lock

    def semaphore(self, value: int) -> Semaphore:
        return threading.Semaphore(value)

    def future(self) -> 'futures.Future[Any]':
        return futures.Future()


class Place:
    """The place of one who waits."""

    def __init__(self, runtime: Runtime) -> None:
        self.called = runtime.semaphore(0)
        self.has_it = False


class Line:
    """A number of places: who came first gets the next.

    Taken and given back by (green) threads, by any of them.

    :param free: how many may have a place at the same time
    """

    def __init__(
            self, runtime: Runtime, *, free: int = 1) -> None:
        self._runtime = runtime
        # Held for a few instructions only.
        self._lock = threading.Lock()
        self._free = free
        self._places: collections.deque[Place] = collections.deque()

    def join(self) -> Place | None:
        """Take a free one, or return a place behind the others."""
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            place = Place(self._runtime)
            self._places.append(place)
            return place

    def wait(self, place: Place, timeout_s: float) -> bool:
        """Wait for it; say whether it was handed over."""
        return place.called.acquire(timeout=timeout_s)

    def leave(self, place: Place) -> bool:
        """Give a place up; say whether it was handed over just now.

        May be said again, by one who was killed on the way out.
        """
        with self._lock:
            if not place.has_it and place in self._places:
                self._places.remove(place)
            return place.has_it

    def release(self) -> None:
        """Hand it to the caller that has waited longest."""
        with self._lock:
            if not self._places:
                self._free += 1
                return
            place = self._places.popleft()
            place.has_it = True
        place.called.release()


PROCESS = Runtime()


class Observation:
    """One observer for all calls of a driver.

    It is called on the calling (green) thread, never on a native thread of
    an eventlet process, so that it may take locks. While there is none, a call
    pays for the look at one attribute.
    """

    def __init__(self) -> None:
        self.observer: ports.Observer | None = None

    def call(self, name: str, function: Callable[[], T]) -> T:
        """Return what *function* returns, or raise what it raises.

        :param name: what the call is, the same for all guests and hosts
        """
        observer = self.observer
        if observer is None:
            return function()
        return timed(observer.call, name, function)


def timed(
        report: Callable[[str, str, float], object], name: str,
        function: Callable[[], T]) -> T:
    """Return what *function* returns, or raise what it raises.

    :param report: takes the name, the outcome and how long it took in seconds
    """
    outcome = OK
    begun_s = time.monotonic()
    try:
        return function()
    except BaseException as error:
        outcome = type(error).__name__
        raise
    finally:
        report(name, outcome, time.monotonic() - begun_s)
