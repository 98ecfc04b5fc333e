# SPDX-License-Identifier: Apache-2.0

"""Tells the compute service what became of the connection.

The service's record may be a database behind a message bus, and a
notification may wait for a broker. So both are told on a thread of their
own: whoever has news waits a moment, which is all it takes while the
receiver is well, and goes on.
"""

from collections.abc import Callable
from concurrent import futures

from oslo_log import log as logging

from nova_libvirt_driver.connection import worker as worker_module

LOG = logging.getLogger(__name__)

_PATIENCE_S = 1.0
_STOP_S = 0.2


class Herald:
    """Calls the ports, one after the other."""

    def __init__(self) -> None:
        self._worker = worker_module.Worker('libvirt-herald')
        self._waiting: dict[str, futures.Future[None]] = {}

    def tell(self, what: str, tell: Callable[[], object]) -> None:
        """Have *tell* called; wait for it for a second at the most.

        *tell* reads what is true when it is called. So one that has not
        begun yet serves for another with the same *what*.

        :param what: names the receiver in the log
        """
        if self._worker.inside():
            # A port that has news itself cannot wait for its own return.
            return
        future = self._waiting.get(what)
        if future is None or future.running() or future.done():
            future = self._worker.submit(lambda: _guarded(what, tell))
            self._waiting[what] = future
        try:
            future.result(_PATIENCE_S)
        except (TimeoutError, futures.CancelledError):
            return
        except RuntimeError as error:
            LOG.error('%s could not be told of the connection: %s',
                      what, error)

    def tell_later(
            self, delay_s: float, what: str,
            tell: Callable[[], object]) -> None:
        """Have *tell* called *delay_s* seconds from now, unless stopped."""
        worker = self._worker
        worker.submit(lambda: worker.later(
            delay_s, lambda: _guarded(what, tell)))

    def inside(self) -> bool:
        """Say whether the caller was called by a port."""
        return self._worker.inside()

    def start(self) -> None:
        """Work again after :meth:`stop`."""
        self._worker = worker_module.Worker('libvirt-herald')
        self._waiting = {}

    def stop(self) -> None:
        """End, without waiting for a receiver that hangs.

        What waits behind it is not told any more.
        """
        self._worker.stop(_STOP_S)


def _guarded(what: str, tell: Callable[[], object]) -> None:
    try:
        tell()
    except Exception:
        LOG.exception('%s could not be told of the connection', what)
