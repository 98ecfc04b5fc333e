# SPDX-License-Identifier: Apache-2.0

"""Faults for a fake: calls that fail, that hang, that are counted.

Owns when a call goes wrong. What a broken connection is belongs to the fake
itself.
"""

import collections
from collections.abc import Callable
import dataclasses
import time
from typing import Self

import libvirt

from nova_libvirt_driver.calls import runtime

_HANG_LIMIT_S = 60.0

Wait = Callable[[Callable[[], bool], float], bool]
"""Keeps the calling thread until a condition is true, or for some seconds;
says whether it is true."""


def libvirt_error(
    code: int, domain: int, message: str
) -> libvirt.libvirtError:
    """Return an error as the binding makes it for one of the library's."""
    # The constructor takes whatever error this thread met last.
    error = libvirt.libvirtError(message)
    error.args = (message,)
    error.err = (code, domain, message, libvirt.VIR_ERR_ERROR,
                 message, None, None, -1, -1)
    return error


def no_support(c_name: str) -> libvirt.libvirtError:
    """Return the error of a hypervisor that lacks a function."""
    return libvirt_error(
        libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_FROM_NONE,
        'this function is not supported by the connection driver: '
        + c_name)


def invalid(reason: str) -> libvirt.libvirtError:
    """Return the error of a call that the state forbids."""
    return libvirt_error(
        libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_FROM_QEMU,
        f'Requested operation is not valid: {reason}')


def bad_argument(reason: str) -> libvirt.libvirtError:
    """Return the error of a call with a wrong value."""
    return libvirt_error(
        libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_FROM_NONE,
        f'invalid argument: {reason}')


def poll(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Be a :data:`Wait` of any thread, green or native."""
    # Not an Event: a green thread that hangs in one would be woken by a
    # native thread, or the other way round, which eventlet cannot do.
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@dataclasses.dataclass(slots=True)
class Hang:
    """Calls that do not return; as a context manager it ends the hang."""

    entered: bool = False
    """One call hangs or has hung."""
    released: bool = False
    left: int | None = None
    """How many calls shall hang; None for all."""
    wait: Wait = poll

    def release(self) -> None:
        """Let the hanging calls go on, and later ones pass."""
        self.released = True

    def wait_entered(self, timeout_s: float = 60.0) -> bool:
        """Wait until a call hangs; tell whether one does."""
        return self.wait(lambda: self.entered, timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def hang(self) -> None:
        """Keep the calling thread until the release, at most a minute."""
        self.entered = True
        self.wait(lambda: self.released, _HANG_LIMIT_S)


class Faults:
    """What goes wrong in the next calls, by the name of the method.

    Safe to use from several threads; no lock is held while a call hangs.

    :param wait: how a call hangs
    """

    def __init__(self, wait: Wait = poll) -> None:
        self._wait = wait
        self.calls: collections.Counter[str] = collections.Counter()
        """How often each method was called, failed calls included."""
        # In an eventlet process native and green threads take it.
        self._lock = runtime.original('threading').Lock()
        self._errors: dict[str, collections.deque[Exception]] = (
            collections.defaultdict(collections.deque))
        self._hangs: dict[str, Hang] = {}
        self._breaks: dict[str, int] = {}

    def fail_next(self, method: str, error: Exception) -> None:
        """Let one more call of the method raise the error."""
        with self._lock:
            self._errors[method].append(error)

    def block(self, method: str, times: int | None = None) -> Hang:
        """Let calls of the method hang until they are released.

        :param times: how many of them, None for all
        """
        with self._lock:
            hang = self._hangs[method] = Hang(left=times, wait=self._wait)
        return hang

    def break_next(self, method: str, reason: int) -> None:
        """Let the connection break inside the next call of the method."""
        with self._lock:
            self._breaks[method] = reason

    def enter(self, method: str) -> int | None:
        """Count a call and let it hang or fail when it shall.

        :returns: the close reason when the connection shall break in it
        """
        with self._lock:
            self.calls[method] += 1
            hang = self._hang(method)
        if hang is not None:
            hang.hang()
        with self._lock:
            errors = self._errors[method]
            error = errors.popleft() if errors else None
            reason = self._breaks.pop(method, None)
        if error is not None:
            raise error
        return reason

    def _hang(self, method: str) -> Hang | None:
        hang = self._hangs.get(method)
        if hang is None or hang.left == 0:
            return None
        if hang.left is not None:
            hang.left -= 1
        return hang
