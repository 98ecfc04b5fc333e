# SPDX-License-Identifier: Apache-2.0

"""The compute service: hosts a driver in one process, until told to stop.

It starts whatever state libvirt and the message bus are in, and it ends
within seconds whatever hangs: each part is stopped on a thread of its own
that is left behind when it does not come back.
"""

from collections.abc import Callable
from concurrent import futures
import dataclasses
import threading
import time
from typing import Any
from typing import Protocol

from oslo_log import log as logging
from oslo_service.backend import base as service_base

from nova_libvirt_driver import base
from nova_libvirt_driver.compute import audit as audit_module
from nova_libvirt_driver.compute import control as control_module
from nova_libvirt_driver.compute import notifier as notifier_module
from nova_libvirt_driver.compute import plain
from nova_libvirt_driver.compute import record as record_module
from nova_libvirt_driver.compute import systemd
from nova_libvirt_driver.monitoring import monitor as monitor_module
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver import version

LOG = logging.getLogger(__name__)

STOP_TIMEOUT_S = 4.0
START_PATIENCE_S = 1.0


class Rpc(Protocol):
    """Serves remote calls."""

    def start(self) -> None:
        """Start serving; returns at once."""

    def stop(self) -> None:
        """Stop serving; may block for ever."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a service is made of."""

    host: str
    driver: base.ComputeDriver
    record: record_module.ServiceRecordFile
    notifier: notifier_module.OsloNotifier
    audit: audit_module.PeriodicAudit
    control: control_module.Control
    monitor: monitor_module.Monitor
    reload: Callable[[], object]
    """Reads the configuration again."""
    on_start: Callable[['ComputeService'], object] = lambda service: None
    """Called first when the service starts, on the main thread."""


class ComputeService(service_base.ServiceBase):  # type: ignore[misc]
    """One compute host, as oslo.service wants it."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.rpc: Rpc | None = None
        self.watch: Callable[
            [event_spec.LifecycleEvent], object] = lambda event: None
        self.foreground: Callable[[], None] | None = None
        self._stopped = False

    def start(self) -> None:
        """Start every part; returns also when libvirt is down."""
        parts = self.parts
        parts.on_start(self)
        # Before the connection: its first events must not be missed.
        parts.driver.register_event_listener(self._on_event)
        # And whoever watches sees it come.
        parts.monitor.start()
        self._init_host()
        parts.audit.start()
        if self.rpc is not None:
            self.rpc.start()
        systemd.notify('READY=1')

    def wait(self) -> None:
        """Return when somebody wants the service to end."""
        if self.foreground is not None:
            self.foreground()
            return
        while True:
            message = self.parts.control.get()
            if isinstance(message, control_module.StopRequest):
                LOG.info('%s: the service ends', message.signal)
                return
            if isinstance(message, control_module.ReloadRequest):
                self.reset()

    def stop(self, graceful: bool = False) -> None:
        """End every part, in less than five seconds; may be repeated."""
        if self._stopped:
            return
        self._stopped = True
        systemd.notify('STOPPING=1', 'STATUS=stopping')
        deadline = time.monotonic() + STOP_TIMEOUT_S
        driver = self.parts.driver
        steps: list[tuple[str, Callable[[], object]]] = [
            ('the audit', lambda: self.parts.audit.stop(0.5)),
            ('the driver', lambda: driver.cleanup_host(self.parts.host)),
            ('the monitor', self.parts.monitor.stop),
            ('the notifier', self.parts.notifier.close)]
        if self.rpc is not None:
            steps.insert(0, ('RPC', self.rpc.stop))
        threads = [_start(what, step) for what, step in steps]
        for (what, _), thread in zip(steps, threads, strict=True):
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                LOG.warning('%s did not stop in time and is left', what)

    def reset(self) -> None:
        """Read the configuration again; what can change without a restart."""
        self.parts.reload()

    def status(self) -> dict[str, Any]:
        """Return how the service is, as plain JSON types.

        Asks neither libvirt nor anybody else who may hang.
        """
        parts = self.parts
        connection = connection_status(parts.driver)
        facts = parts.audit.last.facts
        try:
            service = parts.record.load().as_dict()
        except OSError as error:
            service = {'error': str(error)}
        return {
            'host': parts.host, 'service': service,
            'health': connection and plain.plain(
                parts.monitor.judge(connection)),
            'connection': plain.plain(connection),
            'last_audit': plain.plain(parts.audit.last),
            'versions': {
                'nova_libvirt_driver': version.version(),
                'libvirt': facts and plain.version_text(
                    facts.libvirt_version),
                'hypervisor': facts and plain.version_text(
                    facts.hypervisor_version),
                'hypervisor_type': facts and facts.hypervisor_type}}

    def _init_host(self) -> None:
        # Not on the main thread: a libvirt that hangs must not keep the
        # service from being told to stop.
        parts = self.parts
        done: futures.Future[None] = futures.Future()

        def work() -> None:
            try:
                parts.driver.init_host(parts.host)
            except Exception as error:
                LOG.error('The driver could not start: %s', error)
                done.set_exception(error)
            else:
                self._announce()
                done.set_result(None)

        threading.Thread(
            target=work, name='compute-init', daemon=True).start()
        futures.wait([done], START_PATIENCE_S)
        if done.done():
            done.result()
        else:
            LOG.warning('Libvirt takes its time to answer; the host is '
                        'enabled as soon as it has')

    def _announce(self) -> None:
        summary = self._summary()
        LOG.info('%s %s on host %s: %s', version.DISTRIBUTION,
                 version.version(), self.parts.host, summary)
        systemd.notify(f'STATUS={summary}')

    def _summary(self) -> str:
        status = connection_status(self.parts.driver)
        if status is None:
            return 'the driver is ready'
        if status.state is connection_spec.ConnectionState.CONNECTED:
            return f'connected to {status.uri}'
        return (f'not connected to {status.uri}: '
                f'{status.last_error or status.state.value}; '
                'the host stays disabled until libvirt answers')

    def _on_event(self, event: event_spec.LifecycleEvent) -> None:
        LOG.info('Instance %s (%s): %s %s', event.name, event.uuid,
                 event.transition.value, event.detail)
        self.watch(event)
        self.parts.notifier.lifecycle(event)


def connection_status(
        driver: base.ComputeDriver,
) -> connection_spec.ConnectionStatus | None:
    """Return how the driver's connection is, None if it does not say."""
    ask = getattr(driver, 'connection_status', None)
    status: connection_spec.ConnectionStatus | None = ask() if ask else None
    return status


def _start(what: str, step: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            step()
        except Exception as error:
            LOG.warning('%s did not stop cleanly: %s', what, error)

    thread = threading.Thread(target=run, name=f'stop {what}', daemon=True)
    thread.start()
    return thread
