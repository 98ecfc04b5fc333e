# SPDX-License-Identifier: Apache-2.0

"""Calls into libvirt that have a deadline.

A thread that waits inside the C library cannot be stopped. So a call that
may block runs on a thread of its own; when its deadline passes the caller
gives up and the thread is abandoned. The number of such threads is bounded:
an abandoned one keeps its place until libvirt lets it go, and who finds no
place waits for one.
"""

import abc
import atexit
from collections.abc import Callable
import time
from typing import Any
from typing import Protocol
from typing import TypeVar

from nova_libvirt_driver.connection import budget as budget_module
from nova_libvirt_driver.connection import native
from nova_libvirt_driver.connection import observation as observation_module
from nova_libvirt_driver.connection import runtime as runtime_module
from nova_libvirt_driver.connection import serial
from nova_libvirt_driver.connection import turn as turn_module
from nova_libvirt_driver import exception

T = TypeVar('T')


class Calls(Protocol):
    """Runs a function on a native thread and waits for it."""

    observation: observation_module.Observation
    """Of all calls that run here."""

    def run(
            self, function: Callable[[], T], *, name: str, timeout_s: float,
            late: Callable[[T | None], object] | None = None,
            label: str = '') -> T:
        """Return what *function* returns, or raise what it raises.

        Blocks the calling (green) thread for *timeout_s* at the most.

        :param name: what the call is, for errors
        :param late: called when the call ends after nobody waits for it
            any more, with its result, or None when it failed; on the native
            thread, where it must not log
        :param label: what the call is, for an observer, if not its name
        :raises CallTimeout: the deadline passed
        :raises CallBudgetExhausted: too many calls hang already, or no
            place was free before the deadline
        """

    def wrap(self, value: Any, turn: turn_module.Turn) -> Any:
        """Return objects of libvirt so that their calls take turns."""

    def running(self) -> int:
        """Return how many calls run, abandoned ones included."""

    def abandoned(self) -> int:
        """Return how many calls run whose caller has given up."""

    def limit(self) -> int:
        """Return how many may run at the same time."""


class Call:
    """One call: its thread and its caller agree on whether it was in time."""

    def __init__(
            self, budget: budget_module.Budget, function: Callable[[], Any],
            late: Callable[[Any], object] | None) -> None:
        self._budget = budget
        self._function = function
        self._late = late
        self._lock = native.original('threading').Lock()
        self._finished = False
        self._abandoned = False
        self._result: Any = None
        self._failure: BaseException | None = None

    def execute(self) -> None:
        """Run the function and keep its outcome; on the native thread."""
        try:
            self._result = self._function()
        except BaseException as error:
            self._failure = error
        with self._lock:
            self._finished = True
            abandoned = self._abandoned
        if abandoned:
            self._discard()
        self._budget.end(was_abandoned=abandoned)

    def outcome(self) -> Any:
        """Return the result, or raise what the function raised."""
        if self._failure is not None:
            raise self._failure
        return self._result

    def abandon(self) -> bool:
        """Give up waiting; False when the call has just finished."""
        with self._lock:
            if self._finished:
                return False
            self._abandoned = True
        self._budget.abandon()
        return True

    def _discard(self) -> None:
        if self._late is None:
            return
        try:
            self._late(self._result)
        except Exception:
            # Nobody is left to be told, and a native thread of an eventlet
            # process must not log.
            return


class _BoundedCalls(abc.ABC):
    """What the calls of both kinds of process have in common."""

    def __init__(self, host: str, limit: int) -> None:
        self.observation = observation_module.Observation()
        self._host = host
        self._budget = budget_module.Budget(limit)

    def run(
            self, function: Callable[[], T], *, name: str, timeout_s: float,
            late: Callable[[T | None], object] | None = None,
            label: str = '') -> T:
        return self.observation.call(
            label or _label(name),
            lambda: self._run(function, name, timeout_s, late))

    @abc.abstractmethod
    def _run(
            self, function: Callable[[], T], name: str, timeout_s: float,
            late: Callable[[T | None], object] | None) -> T:
        """Do what :meth:`run` promises."""

    def running(self) -> int:
        return self._budget.running

    def abandoned(self) -> int:
        return self._budget.abandoned

    def limit(self) -> int:
        return self._budget.limit


class NativeCalls(_BoundedCalls):
    """Calls of a process with native threads: a daemon thread for each.

    Daemon threads, so that a hung call never keeps the process from
    ending; executors of the standard library would wait for it.
    """

    def __init__(
            self, *, host: str, limit: int,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        super().__init__(host, limit)
        self._runtime = runtime

    def _run(
            self, function: Callable[[], T], name: str, timeout_s: float,
            late: Callable[[T | None], object] | None) -> T:
        deadline = self._runtime.monotonic() + timeout_s
        self._budget.enter(name, timeout_s)
        call = Call(self._budget, function, late)
        thread = self._runtime.thread(f'libvirt-call-{name}', call.execute)
        try:
            thread.start()
        except RuntimeError as error:
            self._budget.end(was_abandoned=False)
            self._budget.leave()
            raise exception.HypervisorUnavailable(
                host=self._host, reason=f'{name}: {error}') from error
        thread.join(max(0.0, deadline - self._runtime.monotonic()))
        if thread.is_alive() and call.abandon():
            raise exception.CallTimeout(
                host=self._host, call=name, timeout_s=timeout_s)
        self._budget.leave()
        result: T = call.outcome()
        return result

    def wrap(self, value: Any, turn: turn_module.Turn) -> Any:
        return serial.wrap(value, turn)


class EventletCalls(_BoundedCalls):
    """Calls of an eventlet process: they run in eventlet's thread pool.

    The pool is small and shared with everybody, so calls that have a
    deadline may take a part of it only.
    """

    def __init__(self, *, host: str, limit: int, share: float) -> None:
        from nova_libvirt_driver.connection import green
        super().__init__(
            host, min(limit, max(1, int(green.pool_size() * share))))
        self._green = green
        # After eventlet's own, hence before it at the end.
        atexit.register(self._at_exit)

    def _at_exit(self) -> None:
        if self._budget.abandoned:
            self._green.forget_threads()

    def _run(
            self, function: Callable[[], T], name: str, timeout_s: float,
            late: Callable[[T | None], object] | None) -> T:
        deadline = time.monotonic() + timeout_s
        self._budget.enter(name, timeout_s)
        call = Call(self._budget, function, late)
        try:
            self._green.run(
                call.execute, max(0.0, deadline - time.monotonic()))
        except self._green.Expired:
            if call.abandon():
                raise exception.CallTimeout(
                    host=self._host, call=name,
                    timeout_s=timeout_s) from None
        except BaseException:
            # The caller itself is told to end: a call that runs on is
            # counted, and what it brings is disposed of.
            if not call.abandon():
                self._budget.leave()
            raise
        self._budget.leave()
        result: T = call.outcome()
        return result

    def wrap(self, value: Any, turn: turn_module.Turn) -> Any:
        return self._green.wrap(value, turn)


def _label(name: str) -> str:
    return name.removeprefix('the call to ')


def make(*, host: str, limit: int, share: float = 0.5) -> Calls:
    """Return the calls that fit this process.

    :param share: how much of eventlet's thread pool they may take at most
    """
    if native.in_eventlet_process():
        return EventletCalls(host=host, limit=limit, share=share)
    return NativeCalls(host=host, limit=limit)
