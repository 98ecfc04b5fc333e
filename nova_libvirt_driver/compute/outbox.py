# SPDX-License-Identifier: Apache-2.0

"""Sends things in order on a thread of its own, so that nobody is held up.

Whoever puts something in waits a moment for it to be sent, which is all it
takes while the receiver is well. When the receiver hangs, nobody waits any
more, a bounded number of things is kept, and the rest is dropped and counted.
"""

from collections.abc import Callable
import queue
import threading
import time

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

LIMIT = 1000


class _Letter:
    def __init__(self, send: Callable[[], object]) -> None:
        self.send = send
        self.done = threading.Event()


class Outbox:
    """A bounded queue and the thread that empties it.

    :param name: of the thread
    :param patience_s: longest time that ``put`` waits
    """

    def __init__(self, name: str, patience_s: float = 2.0) -> None:
        self._name = name
        self._patience_s = patience_s
        self._letters: queue.Queue[_Letter | None] = queue.Queue(LIMIT)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stuck = False
        self.dropped = 0

    def put(self, send: Callable[[], object]) -> None:
        """Have *send* called; wait for it unless an earlier one hangs."""
        letter = _Letter(send)
        self._ensure_thread()
        try:
            self._letters.put_nowait(letter)
        except queue.Full:
            self._drop()
            return
        if not self._stuck and not letter.done.wait(self._patience_s):
            self._stuck = True

    def close(self, timeout_s: float) -> None:
        """Send what is there and end the thread; wait *timeout_s* for it."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is None:
            return
        deadline = time.monotonic() + timeout_s
        try:
            self._letters.put(None, timeout=timeout_s)
        except queue.Full:
            return
        thread.join(max(0.0, deadline - time.monotonic()))

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def _drop(self) -> None:
        self.dropped += 1
        if self.dropped == 1:
            LOG.warning('%s: %d wait to be sent already, what comes now is '
                        'dropped', self._name, LIMIT)

    def _run(self) -> None:
        while (letter := self._letters.get()) is not None:
            try:
                letter.send()
            except Exception:
                LOG.exception('%s: sending failed', self._name)
            self._stuck = False
            letter.done.set()
