# SPDX-License-Identifier: Apache-2.0

"""Calls of an eventlet process: on eventlet's native threads.

Imports eventlet; it is itself imported only in a process that eventlet has
patched.
"""

from collections.abc import Callable
from typing import TypeVar

import eventlet
from eventlet import tpool

T = TypeVar('T')

execute = tpool.execute
"""Calls a function in the thread pool and waits for it."""


class Expired(BaseException):
    """A deadline passed; never seen outside this package.

    Not an Exception, so that no handler on the way takes it for a failure
    of libvirt.
    """


def run(function: Callable[[], T], timeout_s: float) -> T:
    """Run *function* in the thread pool.

    :raises Expired: *timeout_s* seconds passed; the thread goes on
    """
    with eventlet.Timeout(timeout_s, Expired()):
        result: T = tpool.execute(function)
    return result


def forget_threads() -> None:
    """Let the process end although a call hangs in the pool.

    At its end eventlet waits for every thread of the pool, also for one
    that libvirt never lets go.
    """
    tpool._threads.clear()


def pool_size() -> int:
    """Return how many threads eventlet's pool has."""
    return int(tpool._nthreads)
