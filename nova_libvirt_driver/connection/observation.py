# SPDX-License-Identifier: Apache-2.0

"""Who is told how long calls take, if anybody is.

While nobody is, a call pays for the look at one attribute.
"""

from collections.abc import Callable
import time
from typing import TypeVar

from nova_libvirt_driver import ports

T = TypeVar('T')

OK = 'ok'
"""The outcome of what raises nothing; of anything else its class."""


class Observation:
    """One observer for all calls of a driver.

    It is told on the calling (green) thread, never on a native thread of an
    eventlet process, so that it may take locks.
    """

    def __init__(self) -> None:
        self.observer: ports.Observer | None = None

    def call(self, name: str, function: Callable[[], T]) -> T:
        """Return what *function* returns, or raise what it raises.

        :param name: what the call is, the same for all guests and hosts
        """
        observer = self.observer
        if observer is None:
            return function()
        return timed(observer.call, name, function)


def timed(
        tell: Callable[[str, str, float], object], name: str,
        function: Callable[[], T]) -> T:
    """Return what *function* returns, or raise what it raises.

    :param tell: takes the name, the outcome and how long it took in seconds
    """
    outcome = OK
    begun_s = time.monotonic()
    try:
        return function()
    except BaseException as error:
        outcome = type(error).__name__
        raise
    finally:
        tell(name, outcome, time.monotonic() - begun_s)
