# SPDX-License-Identifier: Apache-2.0

"""Waiting for events of guests: how many, how long, of whom.

The driver delivers on a thread of its own; everything here runs on the
thread of the command, so that Ctrl-C ends it at once.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import queue
import time
from typing import TextIO
from typing import TypeAlias

from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import event as event_spec

Inbox: TypeAlias = 'queue.SimpleQueue[event_spec.LifecycleEvent]'
Look: TypeAlias = Callable[[], None]

_LOOK_S = 0.5
CONNECTED = connection_spec.ConnectionState.CONNECTED


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """Which events are waited for."""

    count: int | None
    """How many, None for any number."""
    timeout_s: float | None
    """How long at most, None for ever."""
    server: str | None = None
    """Name or uuid of the guest, None for all."""

    def wants(self, event: event_spec.LifecycleEvent) -> bool:
        """Say whether the event is of the right guest."""
        return self.server in (None, event.name, event.uuid)


def take(
        inbox: Inbox, wish: Wish, look: Look
        ) -> Iterator[event_spec.LifecycleEvent]:
    """Yield events as they come, until there are enough or time is up.

    :param look: called about twice a second
    """
    deadline = _deadline(wish.timeout_s)
    seen = 0
    while seen != wish.count and time.monotonic() < deadline:
        look()
        event = _next(inbox, min(_LOOK_S, deadline - time.monotonic()))
        if event is not None and wish.wants(event):
            seen += 1
            yield event


def _deadline(timeout_s: float | None) -> float:
    return float('inf') if timeout_s is None else (
        time.monotonic() + timeout_s)


def _next(
        inbox: Inbox, timeout_s: float) -> event_spec.LifecycleEvent | None:
    try:
        return inbox.get(timeout=max(0.0, timeout_s))
    except queue.Empty:
        return None


class Notes:
    """Tells a person when libvirt goes away and when it is back.

    :param status: how the connection is now; must not block
    """

    def __init__(
            self, stream: TextIO,
            status: Callable[[], connection_spec.ConnectionStatus]) -> None:
        self._stream = stream
        self._status = status
        self._connected: bool | None = None

    def look(self) -> None:
        """Write a line if the connection has changed since the last look."""
        status = self._status()
        connected = status.state == CONNECTED
        if connected == self._connected:
            return
        self._connected = connected
        self._stream.write(f'note: {_words(status)}\n')
        self._stream.flush()


def _words(status: connection_spec.ConnectionStatus) -> str:
    if status.state == CONNECTED:
        return f'connected to {status.uri}'
    reason = f' ({status.last_error})' if status.last_error else ''
    return f'no connection to {status.uri}, trying again{reason}'
