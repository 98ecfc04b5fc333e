# SPDX-License-Identifier: Apache-2.0

"""The way from libvirt's threads to ours.

Libvirt runs a callback on its loop thread or on whichever thread is inside
a call, so a callback may do one thing only: put what it has into the inbox.
``put`` never blocks, takes no lock that others hold, and is safe on a native
thread of an eventlet process.
"""

import os
import queue
from typing import Any
from typing import Protocol

from nova_libvirt_driver.connection import native


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
        self._items = native.original('collections').deque()
        self._os = native.original('os')
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
                self._os.read(self._reader, 65536)

    def size(self) -> int:
        return len(self._items)

    def __del__(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


def make() -> Inbox:
    """Return the inbox that fits this process."""
    return GreenInbox() if native.in_eventlet_process() else NativeInbox()
