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
import os
import queue
from typing import Any
from typing import TypeVar

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.calls import runtime as runtime_module
from nova_libvirt_driver import exception

LOG = logging.getLogger(__name__)

T = TypeVar('T')

_LOOK_S = 0.1
_IDLE_S = 5.0
"""How long a thread waits for its next call."""


# libvirtError asks for the thread's last error. When the garbage collector
# frees an object of libvirt's between the failed call and that question the
# answer is None, and the error has neither a code nor a domain.
_last = runtime_module.original('threading').local()


def remember(context: object, error: object) -> None:
    """Keep the last error of this thread; libvirt's error handler."""
    _last.error = error


class Budget:
    """Gives out the places of calls that run on threads of their own.

    Who finds none waits for one, behind those who came before, unless all of
    them are lost to calls that hang. The place of an abandoned call is given
    back on its native thread, which in an eventlet process cannot wake a
    green one: it is counted there, and taken up by the next caller, or one
    that waits.
    """

    def __init__(
            self, limit: int,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        # Nothing but arithmetic is done while the native lock is held.
        self._lock = runtime_module.original('threading').Lock()
        self._runtime = runtime
        self._line = runtime_module.Line(runtime, free=limit)
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
        self._take_up()
        place = self._line.join()
        if place is not None and not self._has_come(place, timeout_s):
            self._say(name)
            raise exception.CallBudgetExhausted(call=name, limit=self.limit)
        with self._lock:
            self.running += 1
        self._is_said = False

    def _has_come(self, place: runtime_module.Place, timeout_s: float) -> bool:
        """Wait for a place; say whether it was handed over."""
        deadline = self._runtime.monotonic() + timeout_s
        try:
            while self.abandoned < self.limit:
                left_s = max(0.0, deadline - self._runtime.monotonic())
                if self._line.wait(place, min(_LOOK_S, left_s)):
                    return True
                self._take_up()
                if not left_s:
                    break
        except BaseException:
            # A (green) thread that is killed.
            if self._line.leave(place):
                self._line.release()
            raise
        return self._line.leave(place)

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
        self._line.release()

    def _take_up(self) -> None:
        with self._lock:
            returned, self._returned = self._returned, 0
        for _ in range(returned):
            self._line.release()


class Call:
    """One call: its thread and its caller agree on whether it was in time."""

    def __init__(
            self, budget: Budget, function: Callable[[], Any],
            late: Callable[[Any], object] | None) -> None:
        self._budget = budget
        self._function = function
        self._late = late
        self._lock = runtime_module.original('threading').Lock()
        self._finished = False
        self._abandoned = False
        self._result: Any = None
        self._failure: BaseException | None = None

    def execute(self) -> None:
        """Run the function and keep its outcome; on the native thread."""
        _last.error = None
        try:
            self._result = self._function()
        except BaseException as error:
            if isinstance(error, libvirt.libvirtError) and error.err is None:
                error.err = _last.error
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
            # The caller has gone, and a native thread of an eventlet
            # process must not log.
            return


class Calls(abc.ABC):
    """Runs functions on native threads and waits for them.

    :ivar observation: of all calls that run here
    :ivar budget: says how many run, and how many of them are abandoned
    """

    def __init__(
            self, host: str, limit: int,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        self.observation = runtime_module.Observation()
        self._host = host
        self._runtime = runtime
        self.budget = Budget(limit, runtime)

    def run(
            self, function: Callable[[], T], *, name: str, timeout_s: float,
            late: Callable[[T | None], object] | None = None,
            label: str = '', place_timeout_s: float | None = None) -> T:
        """Return what *function* returns, or raise what it raises.

        Blocks the calling (green) thread for *timeout_s* at most, or for
        *place_timeout_s* longer.

        :param name: what the call is, for errors
        :param late: called when the call ends after its caller has given
            up, with its result, or None when it failed; on the native
            thread, where it must not log
        :param label: what the call is, for an observer, if not its name
        :param place_timeout_s: longest wait for a place, where that is not
            a part of the time that the call has
        :raises CallTimeout: the deadline passed
        :raises CallBudgetExhausted: too many calls hang already, or no
            place was free before the deadline
        """
        return self.observation.call(
            label or name.removeprefix('the call to '),
            lambda: self._run(
                function, name, timeout_s, late, place_timeout_s))

    def _run(
            self, function: Callable[[], T], name: str, timeout_s: float,
            late: Callable[[T | None], object] | None,
            place_timeout_s: float | None) -> T:
        begun_s = self._runtime.monotonic()
        if place_timeout_s is None:
            self.budget.enter(name, timeout_s)
        else:
            self.budget.enter(name, place_timeout_s)
            begun_s = self._runtime.monotonic()
        deadline = begun_s + timeout_s
        call = Call(self.budget, function, late)
        if not self._execute(call, name, deadline) and call.abandon():
            raise exception.CallTimeout(
                host=self._host, call=name, timeout_s=timeout_s)
        self.budget.leave()
        result: T = call.outcome()
        return result

    @abc.abstractmethod
    def _execute(self, call: Call, name: str, deadline: float) -> bool:
        """Have a call executed; say whether it has ended in time."""

    @abc.abstractmethod
    def without_deadline(
            self, function: Callable[..., Any], *args: Any,
            **kwargs: Any) -> Any:
        """Return what *function* returns; blocks no other green thread."""

    def _give_up(self, call: Call) -> None:
        """Leave a call whose caller is killed, or interrupted.

        One that runs on is counted, and what it brings is disposed of.
        """
        if not call.abandon():
            self.budget.leave()

    def _left_s(self, deadline: float) -> float:
        return max(0.0, deadline - self._runtime.monotonic())


class NativeCalls(Calls):
    """Calls of a process with native threads: each has one for itself.

    Daemon threads, so that a hung call never keeps the process from
    ending; executors of the standard library would wait for it. A thread that
    is done serves the next call, and ends when none comes for a while.
    """

    def __init__(
            self, host: str, limit: int,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        super().__init__(host, limit, runtime)
        self._idle: list[runtime_module.Queue] = []
        self._process = os.getpid()

    def _execute(self, call: Call, name: str, deadline: float) -> bool:
        done = self._runtime.gate()
        try:
            self._hand_over(call, done)
        except RuntimeError as error:
            self.budget.end(was_abandoned=False)
            self.budget.leave()
            raise exception.HypervisorUnavailable(
                host=self._host, reason=f'{name}: {error}') from error
        try:
            return done.acquire(timeout=self._left_s(deadline))
        except BaseException:
            self._give_up(call)
            raise

    def _hand_over(
            self, call: Call, done: runtime_module.Gate) -> None:
        """Have an idle thread execute a call, or a new one.

        :raises RuntimeError: the process has no thread left
        """
        if self._process != os.getpid():
            # A process that was forked has none of these threads.
            self._idle, self._process = [], os.getpid()
        try:
            queued = self._idle.pop()
        except IndexError:
            queued, idle = self._runtime.queue(), self._idle
            self._runtime.thread(
                'libvirt-call', lambda: _serve(queued, idle)).start()
        queued.put((call, done))

    def without_deadline(
            self, function: Callable[..., Any], *args: Any,
            **kwargs: Any) -> Any:
        return function(*args, **kwargs)


def _serve(
        queued: runtime_module.Queue,
        idle: list[runtime_module.Queue]) -> None:
    """Execute one call after the other, on a thread of their own."""
    while True:
        try:
            call, done = queued.get(timeout=_IDLE_S)
        except queue.Empty:
            try:
                idle.remove(queued)
            except ValueError:
                # A call is about to be handed over.
                continue
            return
        call.execute()
        # Nothing of the call is kept while the thread is idle.
        del call
        idle.append(queued)
        done.release()
        del done


class EventletCalls(Calls):
    """Calls of an eventlet process: they run in eventlet's thread pool.

    The pool is small and shared with everybody, so calls that have a
    deadline may take a part of it only.
    """

    def __init__(self, *, host: str, limit: int, share: float) -> None:
        from nova_libvirt_driver.calls import green
        super().__init__(
            host, min(limit, max(1, int(green.pool_size() * share))))
        self._green = green
        # After eventlet's own, hence before it at the end.
        atexit.register(self._at_exit)

    def _at_exit(self) -> None:
        if self.budget.abandoned:
            self._green.forget_threads()

    def _execute(self, call: Call, name: str, deadline: float) -> bool:
        try:
            self._green.run(call.execute, self._left_s(deadline))
        except self._green.Expired:
            return False
        except BaseException:
            self._give_up(call)
            raise
        return True

    def without_deadline(
            self, function: Callable[..., Any], *args: Any,
            **kwargs: Any) -> Any:
        return self._green.execute(function, *args, **kwargs)


def make(*, host: str, limit: int, share: float = 0.5) -> Calls:
    """Return the calls that fit this process.

    :param share: how much of eventlet's thread pool they may take at most
    """
    if runtime_module.in_eventlet_process():
        return EventletCalls(host=host, limit=limit, share=share)
    return NativeCalls(host=host, limit=limit)
