# SPDX-License-Identifier: Apache-2.0

"""Tells the compute service what became of the connection.

The service's record may be a database behind a message bus, and a
notification may wait for a broker. So both are told on a thread of their
own: whoever has news waits a moment, which is all it takes while the
receiver is well, and goes on. A receiver that fails is told again until it
does not: the disk of a record may be full, and have room later.
"""

from collections.abc import Callable
from concurrent import futures

from oslo_log import log as logging

from nova_libvirt_driver.connection import runtime as runtime_module
from nova_libvirt_driver.connection import worker as worker_module

LOG = logging.getLogger(__name__)

_PATIENCE_S = 1.0
_STOP_S = 0.2


class Herald:
    """Calls the ports, one after the other.

    :param again_s: how long after a failure a port is called again
    """

    def __init__(
            self, again_s: float = 5.0,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        self._again_s = again_s
        self._runtime = runtime
        self._worker = worker_module.Worker('libvirt-herald', runtime)
        self._waiting: dict[str, futures.Future[None]] = {}
        # Who is to be told again, and how; of the worker's thread only.
        self._failed: dict[str, Callable[[], object]] = {}

    def tell(
            self, what: str, tell: Callable[[], object], *,
            is_state: bool = False) -> None:
        """Have *tell* called; wait for it for a second at the most.

        *tell* reads what is true when it is called. So one that has not
        begun yet serves for another with the same *what*.

        :param what: names the receiver in the log
        :param is_state: what counts is the last word. One that outlives
            :meth:`stop` and the next :meth:`start` may come behind a later
            one, so it is followed by another.
        """
        if self._worker.inside():
            # A port that has news itself cannot wait for its own return.
            return
        future = self._waiting.get(what)
        if future is None or future.running() or future.done():
            future = self._worker.submit(
                lambda: self._tell(what, tell, is_state=is_state))
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
        """Have a state told *delay_s* seconds from now, unless stopped."""
        worker = self._worker
        worker.submit(lambda: worker.later(delay_s, lambda: self._tell(
            what, tell, is_state=True)))

    def _tell(
            self, what: str, tell: Callable[[], object], *,
            is_state: bool, again: bool = False) -> None:
        try:
            tell()
        except Exception:
            # Once for each news, not once for each attempt.
            LOG.log(logging.DEBUG if again else logging.ERROR,
                    '%s could not be told of the connection; it is tried '
                    'again', what, exc_info=True)
            self._repeat(what, tell, is_state=is_state)
        else:
            if again:
                LOG.info('%s was told of the connection after all', what)
        if is_state and not self._worker.inside():
            self._worker.submit(
                lambda: self._tell(what, tell, is_state=True))

    def _repeat(
            self, what: str, tell: Callable[[], object], *,
            is_state: bool) -> None:
        if not self._worker.inside():
            # Stopped meanwhile, and perhaps started again.
            return
        if what not in self._failed:
            self._worker.later(self._again_s, lambda: self._tell(
                what, self._failed.pop(what), is_state=is_state,
                again=True))
        self._failed[what] = tell

    def inside(self) -> bool:
        """Say whether the caller was called by a port."""
        return self._worker.inside()

    def start(self) -> None:
        """Work again after :meth:`stop`."""
        self._worker = worker_module.Worker('libvirt-herald', self._runtime)
        self._waiting = {}
        self._failed = {}

    def stop(self) -> None:
        """End, without waiting for a receiver that hangs.

        What waits behind it is not told any more.
        """
        self._worker.stop(_STOP_S)
