# SPDX-License-Identifier: Apache-2.0

"""Sends notifications over oslo.messaging, publisher ``compute.<host>``.

``[oslo_messaging_notifications]`` says how; without a word there the driver
is ``log``. Without a transport_url nothing is ever connected to. It refuses
to hold up its callers when the message bus hangs, and never raises to them.
"""

from collections.abc import Callable
from collections.abc import Mapping
from concurrent import futures
import datetime
import threading
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from nova_libvirt_driver.calls import worker as worker_module
from nova_libvirt_driver.messaging import transport
from nova_libvirt_driver.spec import event as event_spec

LOG = logging.getLogger(__name__)

LOCAL_DRIVERS = frozenset(('log', 'noop', 'test'))
CLOSE_TIMEOUT_S = 1.0

MOST_WAITING = 1000
"""As many things are kept for a receiver that hangs."""


class OsloNotifier:
    """Implements ``ports.Notifier``; cheap to make, loads when first used.

    :param conf: where the transport is configured
    """

    def __init__(self, host: str, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._publisher = f'compute.{host}'
        self._outbox = Outbox(f'notifier-{host}')
        self._lock = threading.Lock()
        self._notifier: Any = None

    def check(self) -> None:
        """Load what the configuration names, without connecting.

        :raises InvalidConfiguration: the transport_url makes no sense
        """
        self._loaded()

    def error(self, event_type: str, payload: Mapping[str, object]) -> None:
        """Send with priority *error*; waits for seconds at most."""
        self._send('error', event_type, payload)

    def info(self, event_type: str, payload: Mapping[str, object]) -> None:
        """Send with priority *info*; waits for seconds at most."""
        self._send('info', event_type, payload)

    def lifecycle(self, event: event_spec.LifecycleEvent) -> None:
        """Send a lifecycle event as ``compute.instance.<transition>``."""
        self.info(f'compute.instance.{event.transition.value}',
                  lifecycle_payload(event))

    def close(self) -> None:
        """Send what waits, for at most a second."""
        self._outbox.close(CLOSE_TIMEOUT_S)

    def _send(
            self, priority: str, event_type: str,
            payload: Mapping[str, object]) -> None:
        content = dict(payload)

        def send() -> None:
            try:
                getattr(self._loaded(), priority)({}, event_type, content)
            except Exception as error:
                LOG.error('Notification %s was not sent: %s', event_type,
                          error)

        self._outbox.put(send)

    def _loaded(self) -> Any:
        with self._lock:
            if self._notifier is None:
                self._notifier = _make(self._conf, self._publisher)
            return self._notifier


class Outbox:
    """Sends things in order on a thread of its own.

    Callers wait a moment for it to be sent, which is all it takes while the
    receiver is well. When the receiver hangs, callers no
    longer wait, a bounded number of things is kept, and the rest is dropped
    and counted.

    :param name: of the thread
    :param patience_s: longest time that ``put`` waits
    """

    def __init__(self, name: str, patience_s: float = 2.0) -> None:
        self._name = name
        self._patience_s = patience_s
        self._worker = worker_module.Worker(name)
        self._lock = threading.Lock()
        self._unsent = 0
        self._stuck = False
        self.dropped = 0

    def put(self, send: Callable[[], object]) -> None:
        """Have *send* called; wait for it unless an earlier one hangs."""
        with self._lock:
            # One of them is being sent.
            is_full = self._unsent > MOST_WAITING
            self._unsent += not is_full
        if is_full:
            self._drop()
            return
        future = self._worker.submit(send)
        future.add_done_callback(self._sent)
        if not self._stuck:
            self._stuck = not futures.wait([future], self._patience_s).done

    def close(self, timeout_s: float) -> None:
        """Send what is there and end the thread; wait *timeout_s* for it."""
        worker, self._worker = self._worker, worker_module.Worker(self._name)
        worker.finish(timeout_s)

    def _drop(self) -> None:
        self.dropped += 1
        if self.dropped == 1:
            LOG.warning('%s: %d messages are waiting already, dropping new '
                        'ones', self._name, MOST_WAITING)

    def _sent(self, future: 'futures.Future[object]') -> None:
        self._stuck = False
        with self._lock:
            self._unsent -= 1
        if not future.cancelled() and (error := future.exception()):
            LOG.error('%s: sending failed', self._name, exc_info=error)


def lifecycle_payload(
        event: event_spec.LifecycleEvent) -> dict[str, object]:
    """Return what a notification says of a lifecycle event."""
    time = datetime.datetime.fromtimestamp(event.timestamp, datetime.UTC)
    return {'uuid': event.uuid, 'name': event.name,
            'transition': event.transition.value, 'detail': event.detail,
            'synthesized': event.synthesized,
            'timestamp': time.isoformat(timespec='milliseconds')}


def _make(conf: cfg.ConfigOpts, publisher: str) -> Any:
    from nova_libvirt_driver.messaging.library import oslo_messaging
    made = transport.for_notifications(conf)
    return oslo_messaging.Notifier(
        made, publisher, driver=_only_driver(conf))


def _only_driver(conf: cfg.ConfigOpts) -> str | None:
    group = conf[transport.NOTIFICATIONS]
    if not group.driver:
        return 'log'
    if (group.transport_url or transport.is_set(conf)
            or LOCAL_DRIVERS.issuperset(group.driver)):
        return None
    LOG.warning('[%s] driver is %s but transport_url is not set: '
                'notifications go to the log only', transport.NOTIFICATIONS,
                ', '.join(group.driver))
    return 'log'
