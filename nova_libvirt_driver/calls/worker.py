# SPDX-License-Identifier: Apache-2.0

"""A thread that does one thing after the other, now or later."""

from collections.abc import Callable
from concurrent import futures
import heapq
import itertools
import queue
import threading
from typing import Any
from typing import TypeVar

from nova_libvirt_driver.calls import runtime as runtime_module

T = TypeVar('T')

Job = Callable[[], Any]

_STOP = object()
_FINISH = object()


class Worker:
    """Does what is not to be waited for, or must not happen twice.

    Its thread starts with the first job. What is submitted to a worker that
    was stopped, or has finished, is cancelled.

    :param name: of the thread
    """

    def __init__(
            self, name: str,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        self._name = name
        self._runtime = runtime
        self._jobs = runtime.queue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = False
        # Of the worker's own thread; no other touches them.
        self._timers: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._finishing = False

    def submit(self, job: Callable[[], T]) -> 'futures.Future[T]':
        """Queue a job; never blocks.

        The job fails when the process has no thread left for it.
        """
        future: futures.Future[T] = self._runtime.future()
        with self._lock:
            if self._stopped:
                future.cancel()
                return future
            try:
                self._ensure_thread()
            except RuntimeError as error:
                future.set_exception(error)
                return future
            self._jobs.put((future, job))
        return future

    def later(self, delay_s: float, job: Job) -> None:
        """Do a job *delay_s* seconds from now; for jobs of this worker."""
        heapq.heappush(self._timers, (
            self._runtime.monotonic() + delay_s, next(self._order), job))

    def inside(self) -> bool:
        """Say whether the calling thread is the worker's own."""
        return threading.current_thread() is self._thread

    def stop(self, timeout_s: float) -> None:
        """Cancel what is queued, drop what is for later, and end.

        Waits for *timeout_s* at most; the thread ends in any case once
        its present job does.
        """
        with self._lock:
            self._stopped = True
            self._cancel_queued()
            self._jobs.put(_STOP)
        self._join(timeout_s)

    def finish(self, timeout_s: float) -> None:
        """End when there is nothing left to do, now or later.

        Waits for *timeout_s* at most.
        """
        with self._lock:
            self._stopped = self._stopped or self._thread is None
            self._jobs.put(_FINISH)
        self._join(timeout_s)

    def _ensure_thread(self) -> None:
        if self._thread is None:
            # Known before it starts: a green thread that is killed
            # while it starts another one has started it all the same.
            self._thread = self._runtime.thread(self._name, self._run)
            try:
                self._thread.start()
            except RuntimeError:
                self._thread = None
                raise

    def _join(self, timeout_s: float) -> None:
        if self._thread is not None and not self.inside():
            self._thread.join(timeout_s)

    def _cancel_queued(self) -> None:
        while True:
            try:
                item = self._jobs.get(block=False)
            except queue.Empty:
                return
            if isinstance(item, tuple):
                item[0].cancel()

    def _run(self) -> None:
        while not self._has_finished():
            try:
                item = self._jobs.get(timeout=self._pause_s())
            except queue.Empty:
                _, _, job = heapq.heappop(self._timers)
                item = self._runtime.future(), job
            if item is _STOP:
                return
            if item is _FINISH:
                self._finishing = True
            else:
                _perform(*item)

    def _has_finished(self) -> bool:
        with self._lock:
            if not self._finishing or self._timers or (
                    not self._jobs.empty()):
                return False
            self._stopped = True
            return True

    def _pause_s(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, self._timers[0][0] - self._runtime.monotonic())


def _perform(future: 'futures.Future[Any]', job: Job) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
