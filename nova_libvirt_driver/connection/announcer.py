# SPDX-License-Identifier: Apache-2.0

"""Notifies the compute service of what became of the connection.

The service's record may be a database behind a message bus, and a
notification may wait for a broker. So both are sent on a thread of their
own: a sender waits a moment, which is enough while the receiver is well, and
goes on. A receiver that fails is notified again until it does not: the disk
of a record may be full, and have room later.
"""

from collections.abc import Callable
from concurrent import futures
import dataclasses

from oslo_log import log as logging

from nova_libvirt_driver.calls import runtime as runtime_module
from nova_libvirt_driver.calls import worker as worker_module
from nova_libvirt_driver.connection import session as session_module

LOG = logging.getLogger(__name__)

_PATIENCE_S = 1.0
_STOP_S = 0.2


class Messenger:
    """Calls the ports, one after the other.

    :param again_s: how long after a failure a port is called again
    :param patience_s: how long a caller waits for its port
    """

    def __init__(
            self, again_s: float = 5.0,
            runtime: runtime_module.Runtime = runtime_module.PROCESS, *,
            patience_s: float = _PATIENCE_S) -> None:
        self._again_s = again_s
        self._runtime = runtime
        self._patience_s = patience_s
        self.start()

    def notify(
            self, what: str, send: Callable[[], object], *,
            is_state: bool = False) -> None:
        """Have *send* called, and wait for it as long as patience lasts.

        *send* reads what is true when it is called. So one that has not
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
                lambda: self._send(what, send, is_state=is_state))
            self._waiting[what] = future
        try:
            future.result(self._patience_s)
        except (TimeoutError, futures.CancelledError):
            return
        except RuntimeError as error:
            LOG.error('Could not notify %s of the connection: %s',
                      what, error)

    def notify_later(
            self, delay_s: float, what: str,
            send: Callable[[], object]) -> None:
        """Have a state sent *delay_s* seconds from now, unless stopped."""
        worker = self._worker
        worker.submit(lambda: worker.later(delay_s, lambda: self._send(
            what, send, is_state=True)))

    def _send(
            self, what: str, send: Callable[[], object], *,
            is_state: bool, again: bool = False) -> None:
        try:
            send()
        except Exception:
            # Once for each news, not once for each attempt.
            LOG.log(logging.DEBUG if again else logging.ERROR,
                    'Could not notify %s of the connection, will retry',
                    what, exc_info=True)
            self._repeat(what, send, is_state=is_state)
        else:
            if again:
                LOG.info('Notified %s of the connection after all', what)
        if is_state and not self._worker.inside():
            self._worker.submit(
                lambda: self._send(what, send, is_state=True))

    def _repeat(
            self, what: str, send: Callable[[], object], *,
            is_state: bool) -> None:
        if not self._worker.inside():
            # Stopped meanwhile, and perhaps started again.
            return
        if what not in self._failed:
            self._worker.later(self._again_s, lambda: self._send(
                what, self._failed.pop(what), is_state=is_state,
                again=True))
        self._failed[what] = send

    def inside(self) -> bool:
        """Say whether the caller was called by a port."""
        return self._worker.inside()

    def start(self) -> None:
        """Work again after :meth:`stop`."""
        self._worker = worker_module.Worker('libvirt-messenger', self._runtime)
        self._waiting: dict[str, futures.Future[None]] = {}
        # Whom to notify again, and how; of the worker's thread only.
        self._failed: dict[str, Callable[[], object]] = {}

    def stop(self) -> None:
        """End, without waiting for a receiver that hangs.

        What waits behind it is not sent any more.
        """
        self._worker.stop(_STOP_S)


_SERVICE = 'the compute service'


@dataclasses.dataclass(frozen=True, slots=True)
class Announcer:
    """Notifies the service of a loss that lasts, and of its end.

    :param set_enabled: makes the record of the service agree
    :param current: says whether there is a connection now
    :param grace_s: for how long a loss is not announced
    """

    messenger: Messenger
    set_enabled: Callable[[bool], None]
    current: session_module.Current
    grace_s: float

    def outcome(self, *, failures: int) -> None:
        """Announce how an attempt ended; a loss only if it lasts.

        :param failures: how many attempts have failed, one after the other
        """
        left_s = self._left_s()
        if self.current.session is not None or left_s <= 0:
            self.announce()
        elif failures == 1:
            self.messenger.notify_later(left_s, _SERVICE, self._send)

    def announce(self) -> None:
        """Notify the service of how things are; waits a second at most."""
        self.messenger.notify(_SERVICE, self._send, is_state=True)

    def _send(self) -> None:
        self.set_enabled(
            self.current.session is not None or self._left_s() > 0)

    def _left_s(self) -> float:
        """Return what is left of the grace."""
        lost_for_s = self.current.lost_for_s
        return 0.0 if lost_for_s is None else self.grace_s - lost_for_s
