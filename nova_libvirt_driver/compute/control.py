# SPDX-License-Identifier: Apache-2.0

"""What the main thread of the service waits for.

Signal handlers and listeners put their messages here and return; everything
that takes time happens on the main thread, outside of any handler.
"""

import dataclasses
import queue
import signal
import time
from types import FrameType

from nova_libvirt_driver.spec import event as event_spec


_STOP = (signal.SIGTERM, signal.SIGINT)
_RELOAD = signal.SIGHUP

# Under eventlet, a signal that comes just before the hub goes to sleep does
# not wake a thread that waits here, so the wait must be short.
_LOOK_S = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class StopRequest:
    """Somebody wants the service to end."""

    signal: str
    """Name of the signal, for example ``SIGTERM``."""


@dataclasses.dataclass(frozen=True, slots=True)
class ReloadRequest:
    """Somebody wants the configuration to be read again."""


Message = StopRequest | ReloadRequest | event_spec.LifecycleEvent


class Control:
    """A queue with many writers and one reader."""

    def __init__(self) -> None:
        # SimpleQueue: its put may interrupt its own get, so that a signal
        # handler can use it; Event and Queue would wait for themselves.
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def put(self, message: Message) -> None:
        """Add a message; never blocks."""
        self._messages.put(message)

    def get(self, timeout_s: float | None = None) -> Message | None:
        """Take the oldest message, None when there is none in time."""
        deadline = float('inf') if timeout_s is None else (
            time.monotonic() + timeout_s)
        while True:
            left_s = deadline - time.monotonic()
            try:
                return self._messages.get(
                    timeout=max(0.0, min(left_s, _LOOK_S)))
            except queue.Empty:
                if left_s <= _LOOK_S:
                    return None


def take_signals(control: Control, *, on_terminal: bool = False) -> None:
    """Turn signals into messages; main thread only.

    :param on_terminal: a person watches, and SIGHUP says that the terminal
        was closed
    """
    def stop(signum: int, frame: FrameType | None) -> None:
        control.put(StopRequest(signal.Signals(signum).name))

    def reload(signum: int, frame: FrameType | None) -> None:
        control.put(ReloadRequest())

    for number in _STOP:
        signal.signal(number, stop)
    signal.signal(_RELOAD, stop if on_terminal else reload)
