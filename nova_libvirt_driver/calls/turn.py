# SPDX-License-Identifier: Apache-2.0

"""One caller at a time inside a connection to a daemon.

Libvirt's client lets several threads wait for answers on one connection.
When keepalive then closes it, only one of them is woken, the others hang for
ever, and the process crashes when the daemon goes on (seen with libvirt 9.0).
So callers take turns. No callback of libvirt takes a turn, every wait for one
has a deadline, and what may take long has a connection of its own.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import inspect
import threading
from typing import Any
from typing import TypeVar

import libvirt

from nova_libvirt_driver.calls import runtime as runtime_module
from nova_libvirt_driver import exception

T = TypeVar('T')


_LOOK_S = 0.1

Tracker = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Takes a function and returns one that does the same."""

VIR_CLASSES: tuple[type, ...] = tuple(
    value for name, value in vars(libvirt).items()
    if name.startswith('vir') and inspect.isclass(value))
"""Every class of libvirt whose objects have calls that may block."""

LOCAL_METHODS = frozenset(('ID', 'UUID', 'UUIDString', 'name'))
"""Methods of libvirt's objects that are answered here, without a turn."""


def _here(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


class Turn:
    """Who may be inside one connection.

    Taken by callers' (green) threads, never by a native thread of an
    eventlet process.

    :param timeout_s: longest wait for a turn
    :param run: makes a call; on a native thread, if the caller's is green
    :ivar observation: of the calls that take turns
    """

    def __init__(
            self, *, host: str, timeout_s: float,
            observation: runtime_module.Observation | None = None,
            run: Callable[..., Any] = _here,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        self.observation = observation or runtime_module.Observation()
        self.run = run
        self._host = host
        self._timeout_s = timeout_s
        self._runtime = runtime
        self._line = runtime_module.Line(runtime)
        self.needed = True
        """False for a hypervisor inside this process: no link to share."""
        self.closed = False
        """The link is gone; set on libvirt's thread, so a plain value."""
        self._is_inside = False
        self._is_orphaned = False
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def taken(
            self, call: str, *,
            timeout_s: float | None = None) -> Iterator[Tracker]:
        """Hold the turn, in order to make one call.

        Wrap the call with the tracker that this yields. The wrapped function
        may run on a native thread, also in an eventlet process, and no other
        caller comes in before it has ended.

        :param call: what it is for, for the error
        :param timeout_s: longest wait for it, if not the usual one
        :raises CallTimeout: somebody else's call takes too long
        :raises HypervisorUnavailable: the link is gone
        """
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        if not self._acquire(timeout_s):
            raise exception.CallTimeout(
                host=self._host, call=f'waiting for {call}',
                timeout_s=timeout_s)
        try:
            if self.closed:
                raise exception.HypervisorUnavailable(host=self._host)
            yield self._tracked
        except BaseException as error:
            if self._goes_on(error):
                # The call goes on inside libvirt, and no other caller may
                # come in until it ends. A (green) thread that is killed has
                # no use for the link any more.
                self.closed = self.closed or not isinstance(error, Exception)
                self._is_orphaned = True
            else:
                self._release()
            raise
        self._release()

    @contextlib.contextmanager
    def last(self, timeout_s: float) -> Iterator[bool]:
        """Hold the turn, in order to close a link that is gone.

        Gives whether it came in time.
        """
        is_taken = self._acquire(timeout_s)
        try:
            yield is_taken
        finally:
            if is_taken:
                self._release()

    def _tracked(self, function: Callable[..., T]) -> Callable[..., T]:
        """Return *function* so that it is known when it ends."""
        # Before it is handed to a native thread, which may take its time.
        self._is_inside = True

        def call(*args: Any, **kwargs: Any) -> T:
            try:
                return function(*args, **kwargs)
            finally:
                self._is_inside = False

        return call

    def _goes_on(self, error: BaseException) -> bool:
        """Say whether the call goes on although its caller does not wait."""
        if isinstance(error, exception.DriverError) and not isinstance(
                error, exception.CallTimeout):
            # It has ended, or there was no thread for it.
            self._is_inside = False
        return self._is_inside

    def _acquire(self, timeout_s: float) -> bool:
        """Take the turn; False when it does not come in time."""
        if not self.needed:
            return True
        place = self._line.join()
        if place is None:
            return True
        deadline = self._runtime.monotonic() + timeout_s
        try:
            return self._await(place, deadline)
        except BaseException:
            # A (green) thread that is killed.
            if self._line.leave(place):
                self._line.release()
            raise

    def _await(self, place: runtime_module.Place, deadline: float) -> bool:
        while True:
            if self._inherit():
                # It cannot be handed over: the caller that had it is gone.
                self._line.leave(place)
                return True
            left_s = max(0.0, deadline - self._runtime.monotonic())
            if self._line.wait(place, min(_LOOK_S, left_s)):
                return True
            if not left_s:
                return self._line.leave(place)

    def _inherit(self) -> bool:
        """Take the turn of a caller that is gone, once its call has ended."""
        with self._lock:
            if not self._is_orphaned or self._is_inside:
                return False
            self._is_orphaned = False
            return True

    def _release(self) -> None:
        """Give the turn back."""
        if self.needed:
            self._line.release()


class Proxy:
    """An object of libvirt whose calls wait for their turn.

    What a call returns is wrapped too, also inside lists and tuples.
    """

    def __init__(self, obj: Any, turn: Turn) -> None:
        self._obj = obj
        self._turn = turn

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._obj, name)
        if name in LOCAL_METHODS:
            return attribute
        if not callable(attribute):
            return wrap(attribute, self._turn)
        turn = self._turn

        def call(*args: Any, **kwargs: Any) -> Any:
            with turn.taken(name) as tracked:
                inside = tracked(attribute)
                return wrap(turn.observation.call(
                    name, lambda: turn.run(inside, *args, **kwargs)), turn)

        return call

    def __eq__(self, other: object) -> bool:
        return bool(self._obj == getattr(other, '_obj', other))

    def __hash__(self) -> int:
        return hash(self._obj)

    def __repr__(self) -> str:
        return f'<{type(self).__name__} of {self._obj!r}>'


def raw(value: Any) -> Any:
    """Return the object of libvirt behind *value*, or *value* itself."""
    return value._obj if isinstance(value, Proxy) else value


def turn_of(value: Any) -> Turn | None:
    """Return the turn that the calls of *value* take, if they take any."""
    return value._turn if isinstance(value, Proxy) else None


def wrap(value: Any, turn: Turn) -> Any:
    """Return *value* with every object of libvirt in it wrapped."""
    if isinstance(value, VIR_CLASSES):
        return Proxy(value, turn)
    if isinstance(value, (list, tuple)):
        return type(value)(wrap(item, turn) for item in value)
    return value
