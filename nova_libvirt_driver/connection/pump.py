# SPDX-License-Identifier: Apache-2.0

"""The thread that takes libvirt's messages out of the inbox.

It only sorts and books; whoever may block does so elsewhere.
"""

from collections.abc import Callable
import threading

from oslo_log import log as logging

from nova_libvirt_driver.connection import inbox as inbox_module
from nova_libvirt_driver.connection import registry
from nova_libvirt_driver.connection import runtime as runtime_module
from nova_libvirt_driver.connection import session

LOG = logging.getLogger(__name__)

_STOP = object()


class Pump:
    """Hands closed sessions and guests' events to those who care."""

    def __init__(
            self, inbox: inbox_module.Inbox, *,
            closed: Callable[[session.Closed], None],
            listed: Callable[[session.Listed], None],
            changed: Callable[[registry.Change], None],
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        self._inbox = inbox
        self._runtime = runtime
        self._closed = closed
        self._listed = listed
        self._changed = changed
        self._lock = threading.Lock()
        self._thread: runtime_module.Thread | None = None

    def ensure_running(self) -> None:
        """Start the thread unless it runs.

        :raises RuntimeError: the process has no thread left
        """
        with self._lock:
            if self._thread is None:
                self._thread = self._runtime.thread(
                    'libvirt-pump', self._run)
                try:
                    self._thread.start()
                except RuntimeError:
                    self._thread = None
                    raise

    def stop(self, timeout_s: float) -> None:
        """Stop the thread; waits for it for *timeout_s* at the most."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(_STOP)
            thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            item = self._inbox.get()
            if item is _STOP:
                return
            try:
                self._take(item)
            except Exception:
                LOG.exception('A message from libvirt was lost: %r', item)

    def _take(self, item: object) -> None:
        if isinstance(item, session.Closed):
            self._closed(item)
        elif isinstance(item, session.Listed):
            self._listed(item)
        elif isinstance(item, registry.Change):
            self._changed(item)
