# SPDX-License-Identifier: Apache-2.0

"""Time, chance and threads, as the connection uses them.

One object gives all of them, so that a test can give others, which it runs
step by step: see ``testing.stepped``. What waits for libvirt itself is not
here but in ``calls``.
"""

from collections.abc import Callable
from concurrent import futures
import queue
import random
import threading
import time
from typing import Any
from typing import Protocol


class Thread(Protocol):
    """What is used of a ``threading.Thread``."""

    def start(self) -> None: ...

    def join(self, timeout: float | None = None) -> None: ...

    def is_alive(self) -> bool: ...


class Queue(Protocol):
    """What is used of a ``queue.Queue``."""

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


class Runtime(Protocol):
    """Where time, chance and threads come from."""

    def monotonic(self) -> float:
        """Return seconds since some time that stays the same."""

    def uniform(self, low: float, high: float) -> float:
        """Return a number by chance."""

    def thread(self, name: str, run: Callable[[], object]) -> Thread:
        """Return a daemon thread that is not started yet."""

    def queue(self) -> Queue: ...

    def semaphore(self, value: int) -> Semaphore: ...

    def future(self) -> 'futures.Future[Any]': ...


class Process:
    """Those of the process; in an eventlet process threads are green."""

    def monotonic(self) -> float:
        return time.monotonic()

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)

    def thread(self, name: str, run: Callable[[], object]) -> Thread:
        return threading.Thread(target=run, name=name, daemon=True)

    def queue(self) -> Queue:
        return queue.Queue()

    def semaphore(self, value: int) -> Semaphore:
        return threading.Semaphore(value)

    def future(self) -> 'futures.Future[Any]':
        return futures.Future()


PROCESS = Process()
