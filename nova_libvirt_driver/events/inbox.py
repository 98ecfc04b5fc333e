# SPDX-License-Identifier: Apache-2.0

"""The way from libvirt's threads to ours.

Libvirt runs a callback on its loop thread or on whichever thread is inside
a call, so a callback may do one thing only: put what it has into the inbox.
``put`` never blocks, takes no lock that others hold, and is safe on a native
thread of an eventlet process. The thread that empties the inbox only sorts
and books; what may block is done elsewhere.
"""

from collections.abc import Callable
import contextlib
import dataclasses
import os
import queue
import threading
from typing import Any
from typing import Protocol

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.calls import runtime as runtime_module
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import registry
from nova_libvirt_driver.events import router as router_module

LOG = logging.getLogger(__name__)

_STOP = object()

_REASONS = {
    libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: 'an I/O error',
    libvirt.VIR_CONNECT_CLOSE_REASON_EOF: 'the daemon closed it',
    libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: 'keepalive got no answer',
    libvirt.VIR_CONNECT_CLOSE_REASON_CLIENT: 'this client closed it',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Closed:
    """Libvirt says that a session is gone."""

    generation: int
    reason: int

    @property
    def words(self) -> str:
        """The reason, for people."""
        return _REASONS.get(self.reason, f'reason {self.reason}')


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """All guests of a new session, or None when they cannot be listed."""

    generation: int
    reports: list[decode.Report] | None


class Inbox(Protocol):
    """An unbounded queue with many writers and one reader."""

    def put(self, item: object) -> None:
        """Add an item; never blocks."""

    def get(self) -> Any:
        """Take the oldest item; blocks the calling (green) thread."""

    def size(self) -> int:
        """Return about how many items wait."""


class NativeInbox:
    """The inbox of a process with native threads."""

    def __init__(self) -> None:
        # SimpleQueue, not Queue: its put may be interrupted by itself.
        self._items: queue.SimpleQueue[object] = queue.SimpleQueue()

    def put(self, item: object) -> None:
        self._items.put(item)

    def get(self) -> Any:
        return self._items.get()

    def size(self) -> int:
        return self._items.qsize()


class GreenInbox:
    """The inbox of an eventlet process: a pipe wakes the green reader."""

    def __init__(self) -> None:
        self._items = runtime_module.original('collections').deque()
        self._os = runtime_module.original('os')
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def put(self, item: object) -> None:
        self._items.append(item)
        try:
            self._os.write(self._writer, b'.')
        except BlockingIOError:
            # A full pipe wakes the reader as well as one more byte.
            return

    def get(self) -> Any:
        from eventlet import hubs
        while True:
            try:
                return self._items.popleft()
            except IndexError:
                hubs.trampoline(self._reader, read=True)
                # The hub may wake without a byte; the thread that reads must
                # not end of it, for no event would arrive any more.
                with contextlib.suppress(BlockingIOError):
                    self._os.read(self._reader, 65536)

    def size(self) -> int:
        return len(self._items)

    def __del__(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


def make() -> Inbox:
    """Return the inbox that fits this process."""
    return (GreenInbox() if runtime_module.in_eventlet_process()
            else NativeInbox())


class Reader:
    """Hands guests' events to the router."""

    def __init__(
            self, inbox: Inbox, router: router_module.Router,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        self._inbox = inbox
        self._runtime = runtime
        self._router = router
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ensure_running(self, closed: Callable[[Closed], object]) -> None:
        """Start the thread unless it runs.

        :param closed: takes what libvirt says of the end of a session
        :raises RuntimeError: the process has no thread left
        """
        with self._lock:
            if self._thread is None:
                self._thread = self._runtime.thread(
                    'libvirt-reader', lambda: self._run(closed))
                try:
                    self._thread.start()
                except RuntimeError:
                    self._thread = None
                    raise

    def stop(self, timeout_s: float) -> None:
        """Stop the thread; waits for it for *timeout_s* at most."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(_STOP)
            thread.join(timeout_s)

    def _run(self, closed: Callable[[Closed], object]) -> None:
        while True:
            item = self._inbox.get()
            if item is _STOP:
                return
            try:
                if isinstance(item, Closed):
                    closed(item)
                elif isinstance(item, Listed):
                    self._router.synchronize(item.reports, item.generation)
                elif isinstance(item, registry.Change):
                    self._router.handle(item)
            except Exception:
                LOG.exception('A message from libvirt was lost: %r', item)
