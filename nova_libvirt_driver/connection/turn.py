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
import threading
from typing import Any

from nova_libvirt_driver.connection import line as line_module
from nova_libvirt_driver.connection import observation as observation_module
from nova_libvirt_driver.connection import runtime as runtime_module
from nova_libvirt_driver import exception

_LOOK_S = 0.1

LOCAL_METHODS = frozenset(('ID', 'UUID', 'UUIDString', 'name'))
"""Methods of libvirt's objects that ask nobody, and need no turn."""


class Turn:
    """Who may be inside one connection.

    Taken by callers' (green) threads, never by a native thread of an
    eventlet process.

    :param timeout_s: longest wait for a turn
    :ivar observation: of the calls that take turns
    """

    def __init__(
            self, *, host: str, timeout_s: float,
            observation: observation_module.Observation | None = None,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        self.observation = observation or observation_module.Observation()
        self._host = host
        self._timeout_s = timeout_s
        self._runtime = runtime
        self._line = line_module.Line(runtime)
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
            timeout_s: float | None = None) -> Iterator[None]:
        """Hold the turn.

        :param call: what it is for, for the error
        :param timeout_s: longest wait for it, if not the usual one
        :raises CallTimeout: somebody else's call takes too long
        """
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        if not self.acquire(timeout_s):
            raise exception.CallTimeout(
                host=self._host, call=f'waiting for {call}',
                timeout_s=timeout_s)
        try:
            yield
        except BaseException as error:
            if not self._is_inside:
                self.release()
            else:
                # The call goes on inside libvirt, and nobody else may come
                # in until it ends. A (green) thread that is told to end has
                # no use for the link any more.
                self.closed = self.closed or not isinstance(error, Exception)
                self._is_orphaned = True
            raise
        self.release()

    def begin(self) -> None:
        """Say that a tracked call is made now; whoever has the turn does.

        Before it is handed to a native thread, which may take its time.
        """
        self._is_inside = True

    def call_off(self) -> None:
        """Say that the tracked call was not made, or has ended."""
        self._is_inside = False

    def tracked(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return *function* so that it is known when it ends.

        It may run on a native thread of an eventlet process.
        """
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            finally:
                self._is_inside = False

        return call

    def acquire(self, timeout_s: float) -> bool:
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
            # A (green) thread that is told to end.
            if self._line.leave(place):
                self._line.release()
            raise

    def _await(self, place: line_module.Place, deadline: float) -> bool:
        while True:
            if self._inherit():
                # Nobody can hand it over: whoever had it is gone.
                self._line.leave(place)
                return True
            left_s = max(0.0, deadline - self._runtime.monotonic())
            if self._line.wait(place, min(_LOOK_S, left_s)):
                return True
            if not left_s:
                return self._line.leave(place)

    def _inherit(self) -> bool:
        """Take the turn of whoever is gone, once its call has ended too."""
        with self._lock:
            if not self._is_orphaned or self._is_inside:
                return False
            self._is_orphaned = False
            return True

    def release(self) -> None:
        """Give the turn back."""
        if self.needed:
            self._line.release()

    def check(self) -> None:
        """Refuse a call on a link that is gone.

        :raises HypervisorUnavailable: it is
        """
        if self.closed:
            raise exception.HypervisorUnavailable(host=self._host)
