# SPDX-License-Identifier: Apache-2.0

"""Time and threads that go on only when a test says so.

A :class:`Stepped` stands in for ``calls.runtime.PROCESS``. Its threads
are real ones, of which one runs at a time: each runs until it waits, and
which one is next is decided by a seed. Its clock moves only when nobody has
anything to do. So a test sees the same every time, and ten minutes pass in
a moment.
"""

from collections.abc import Callable
from concurrent import futures
import queue
import random
import threading
from typing import Any

from nova_libvirt_driver.calls import runtime

# Nobody does real work for as long as that.
_STUCK_S = 60.0


class _End(BaseException):
    """Ends a thread at the place where it waits."""


class Thread(threading.Thread):
    """A thread that runs when it is its turn."""

    def __init__(
            self, stepped: 'Stepped', name: str,
            job: Callable[[], object]) -> None:
        super().__init__(name=name, daemon=True)
        self._stepped = stepped
        self._job = job
        self.baton = threading.Semaphore(0)
        self.ready: Callable[[], bool] = lambda: True
        """Says whether what it waits for is there."""
        self.deadline: float | None = None
        """When it goes on in any case."""
        self.finished = False
        self.is_to_end = False

    def start(self) -> None:
        self._stepped.threads.append(self)
        super().start()

    def run(self) -> None:
        self.baton.acquire()
        try:
            if not self.is_to_end:
                self._job()
        except _End:
            # The test is over.
            return
        finally:
            self.finished = True
            self._stepped.threads.remove(self)
            self._stepped.returned.release()

    def join(self, timeout: float | None = None) -> None:
        self._stepped.wait(lambda: self.finished, timeout)

    def is_alive(self) -> bool:
        return not self.finished and super().is_alive()

    def park(self) -> None:
        """Let others run; called by the thread itself."""
        self._stepped.returned.release()
        self.baton.acquire()
        if self.is_to_end:
            raise _End


class Queue:
    """A queue, and an inbox."""

    def __init__(self, stepped: 'Stepped') -> None:
        self._stepped = stepped
        self._items: list[Any] = []

    def put(self, item: Any) -> None:
        self._items.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if block:
            self._stepped.wait(lambda: bool(self._items), timeout)
        if not self._items:
            raise queue.Empty
        return self._items.pop(0)

    def empty(self) -> bool:
        return not self._items

    def qsize(self) -> int:
        return len(self._items)


class Semaphore:
    """A semaphore."""

    def __init__(self, stepped: 'Stepped', value: int) -> None:
        self._stepped = stepped
        self._value = value

    def acquire(
            self, blocking: bool = True,
            timeout: float | None = None) -> bool:
        if blocking:
            self._stepped.wait(lambda: self._value > 0, timeout)
        if self._value <= 0:
            return False
        self._value -= 1
        return True

    def release(self) -> None:
        self._value += 1


class Future(futures.Future[Any]):
    """A future on which threads that are stepped can wait."""

    def __init__(self, stepped: 'Stepped') -> None:
        super().__init__()
        self._stepped = stepped

    def result(self, timeout: float | None = None) -> Any:
        self._stepped.wait(self.done, timeout)
        return super().result(0)

    def exception(
            self, timeout: float | None = None) -> BaseException | None:
        self._stepped.wait(self.done, timeout)
        return super().exception(0)


class Stepped(runtime.Runtime):
    """A clock and threads.

    :param seed: decides who is next
    :param step_limit: how many steps one wait, run or advance may take
    :ivar threads: those that were started and have not ended
    :ivar failures: what the jobs of workers raised
    """

    def __init__(self, seed: int = 0, *, step_limit: int = 50_000) -> None:
        self.threads: list[Thread] = []
        self.failures: list[BaseException] = []
        self.returned = threading.Semaphore(0)
        self._random = random.Random(seed)
        self._step_limit = step_limit
        self._now_s = 0.0
        self._running: Thread | None = None

    # What it stands in for.

    def monotonic(self) -> float:
        return self._now_s

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def thread(self, name: str, run: Callable[[], object]) -> Thread:
        return Thread(self, name, run)

    def queue(self) -> Queue:
        return Queue(self)

    def gate(self) -> Semaphore:
        return Semaphore(self, 0)

    def semaphore(self, value: int) -> Semaphore:
        return Semaphore(self, value)

    def future(self) -> futures.Future[Any]:
        future = Future(self)
        future.add_done_callback(self._note)
        return future

    def wait(
            self, ready: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until *ready* is true; say whether it is.

        The others run meanwhile. A thread of the test's own moves the
        clock while it waits; it has to be the only one.

        :param timeout_s: longest wait; None for no end
        """
        deadline = None if timeout_s is None else self._now_s + timeout_s
        thread = self._running
        if thread is None or threading.current_thread() is not thread:
            self._go_on(ready, deadline)
        else:
            thread.ready, thread.deadline = ready, deadline
            thread.park()
        return ready()

    # What a test does.

    def spawn(self, name: str, job: Callable[[], object]) -> Thread:
        """Start a thread; it does nothing before it is its turn."""
        thread = self.thread(name, job)
        thread.start()
        return thread

    def step(self, thread: Thread | None = None) -> bool:
        """Let a thread run until it waits; False when there is none.

        :param thread: which one, if it is not left to the seed
        """
        able = [one for one in self.threads if self._may_run(one)
                and thread in (None, one)]
        if not able:
            return False
        self._run(self._random.choice(able))
        return True

    def run(self, steps: int | None = None) -> None:
        """Let the threads run, while the clock stands still.

        :param steps: how many steps at the most; None is until all wait
        :raises AssertionError: they never come to rest
        """
        for _ in range(self._step_limit if steps is None else steps):
            if not self.step():
                return
        if steps is None:
            raise AssertionError('the threads do not come to rest')

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything that falls due in it happen.

        :raises AssertionError: the threads never come to rest
        """
        self._go_on(lambda: False, self._now_s + seconds)

    def close(self) -> None:
        """End all threads where they wait."""
        for _ in range(self._step_limit):
            if not self.threads:
                return
            self.threads[0].is_to_end = True
            self._run(self.threads[0])
        raise AssertionError(f'they do not end: {self.threads}')

    # How it is done.

    def _note(self, future: 'futures.Future[Any]') -> None:
        if not future.cancelled():
            failure = futures.Future.exception(future, 0)
            if failure is not None:
                self.failures.append(failure)

    def _may_run(self, thread: Thread) -> bool:
        return thread.ready() or (
            thread.deadline is not None and thread.deadline <= self._now_s)

    def _go_on(
            self, ready: Callable[[], bool], deadline: float | None) -> None:
        for _ in range(self._step_limit):
            if ready():
                return
            if self.step():
                continue
            if deadline is not None and self._now_s >= deadline:
                return
            due = [one for one in (
                deadline, *(thread.deadline for thread in self.threads))
                if one is not None]
            if not due:
                raise AssertionError('nobody will ever do what is waited for')
            self._now_s = max(self._now_s, min(due))
        raise AssertionError('the threads do not come to rest')

    def _run(self, thread: Thread) -> None:
        self._running = thread
        thread.baton.release()
        if not self.returned.acquire(timeout=_STUCK_S):
            raise AssertionError(
                f'{thread.name} waits for something that is not stepped, '
                'as for a lock that is held over a call')
        self._running = None
