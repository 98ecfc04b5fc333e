# SPDX-License-Identifier: Apache-2.0

"""Libvirt in an eventlet process: every call on eventlet's native threads.

Imports eventlet; it is itself imported only in a process that eventlet has
patched.
"""

from collections.abc import Callable
from typing import Any
from typing import TypeVar

import eventlet
from eventlet import tpool

from nova_libvirt_driver.connection import serial
from nova_libvirt_driver.connection import turn as turn_module

T = TypeVar('T')


class Expired(BaseException):
    """A deadline passed; never seen outside this package.

    Not an Exception, so that no handler on the way takes it for a failure
    of libvirt.
    """


class LibvirtProxy(serial.Wrapped, tpool.Proxy):  # type: ignore[misc]
    """An object of libvirt whose every call runs on a native thread.

    Calls take turns like those of :class:`serial.SerialProxy`. Eventlet's
    own proxy wraps an object that a call returns, but not the objects
    inside a list or tuple that it returns.
    """

    def __init__(self, obj: Any, turn: turn_module.Turn) -> None:
        tpool.Proxy.__init__(self, obj, serial.VIR_CLASSES)
        self._turn = turn

    def __getattr__(self, name: str) -> Any:
        if name in turn_module.LOCAL_METHODS:
            return getattr(self._obj, name)
        attribute = getattr(self._obj, name)
        if not callable(attribute):
            return wrap(attribute, self._turn)

        def in_pool(*args: Any, **kwargs: Any) -> Any:
            return tpool.proxy_call(
                serial.VIR_CLASSES, self._turn.tracked(attribute),
                *args, **kwargs)

        return serial.taking_turns(in_pool, name, self._turn, wrap)


def wrap(value: Any, turn: turn_module.Turn) -> Any:
    """Return *value* with every object of libvirt in it wrapped."""
    if isinstance(value, LibvirtProxy):
        return value
    if isinstance(value, tpool.Proxy):
        return LibvirtProxy(value._obj, turn)
    if isinstance(value, serial.VIR_CLASSES):
        return LibvirtProxy(value, turn)
    if isinstance(value, (list, tuple)):
        return type(value)(wrap(item, turn) for item in value)
    return value


def run(function: Callable[[], T], timeout_s: float) -> T:
    """Run *function* in the thread pool.

    :raises Expired: *timeout_s* seconds passed; the thread goes on
    """
    with eventlet.Timeout(timeout_s, Expired()):
        result: T = _unwrapped(
            tpool.proxy_call(serial.VIR_CLASSES, function))
    return result


def _unwrapped(value: Any) -> Any:
    return value._obj if isinstance(value, tpool.Proxy) else value


def forget_threads() -> None:
    """Let the process end although a call hangs in the pool.

    At its end eventlet waits for every thread of the pool, also for one
    that libvirt never lets go.
    """
    tpool._threads.clear()


def pool_size() -> int:
    """Return how many threads eventlet's pool has."""
    return int(tpool._nthreads)
