# SPDX-License-Identifier: Apache-2.0

"""The compute service: hosts a driver in one process, until told to stop.

It starts whatever state libvirt and the message bus are in, and it ends
within seconds whatever hangs: each part is stopped on a thread of its own
that is left behind when it does not come back.
"""

from collections.abc import Callable
from concurrent import futures
import threading
import time
from typing import Any
from typing import Protocol

from oslo_log import log as logging

from nova_libvirt_driver import base
from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver.compute import audit as audit_module
from nova_libvirt_driver.compute import autostart
from nova_libvirt_driver.compute import control as control_module
from nova_libvirt_driver.compute import plain
from nova_libvirt_driver.compute import record as record_module
from nova_libvirt_driver.compute import systemd
from nova_libvirt_driver.messaging import notifier as notifier_module
from nova_libvirt_driver.monitoring import monitor as monitor_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver import version

LOG = logging.getLogger(__name__)

STOP_TIMEOUT_S = 4.0
SERVERS_STOP_S = 2.0
START_PATIENCE_S = 1.0


class Server(Protocol):
    """Serves calls from elsewhere."""

    def start(self) -> None:
        """Start serving; returns at once."""

    def stop(self) -> None:
        """Stop serving; may block for ever."""


class ComputeService:
    """One compute host.

    :param reload: reads the configuration again
    :param tidy: removes what killed processes have left; called once libvirt
        is there
    :param on_start: called first when the service starts, on the main thread
    """

    def __init__(
            self, host: str, driver: base.ComputeDriver, *,
            record: record_module.ServiceRecordFile,
            notifier: notifier_module.OsloNotifier,
            audit: audit_module.PeriodicAudit,
            control: control_module.Control,
            monitor: monitor_module.Monitor, reload: Callable[[], object],
            tidy: Callable[[], object] = lambda: None,
            on_start: Callable[['ComputeService'], object] = (
                lambda service: None)) -> None:
        self.host = host
        self.driver = driver
        self.audit = audit
        self.control = control
        self.record = record
        self._notifier = notifier
        self._monitor = monitor
        self._reload = reload
        self._remove_leftovers = tidy
        self._on_start = on_start
        self.servers: dict[str, Server] = {}
        """By what they are called in the log."""
        self.listeners: set[ports.LifecycleListener] = set()
        """They get each event, on a thread that they must not hold up."""
        self.watch: Callable[
            [event_spec.LifecycleEvent], object] = lambda event: None
        self.foreground: Callable[[], None] | None = None
        self._autostart = autostart.Autostart(driver)
        self._ended = threading.Event()

    def start(self) -> None:
        """Start every part; returns also when libvirt is down."""
        self._on_start(self)
        # Before the connection: its first events must not be missed.
        self.driver.register_event_listener(self._on_event)
        # And those who watch see it come.
        self._monitor.start()
        self._init_host()
        self.audit.start()
        for server in self.servers.values():
            server.start()
        systemd.notify('READY=1')

    def wait(self) -> None:
        """Return when somebody wants the service to end."""
        if self.foreground is not None:
            self.foreground()
            return
        while True:
            message = self.control.get()
            if isinstance(message, control_module.StopRequest):
                LOG.info('%s received, stopping', message.signal)
                return
            if isinstance(message, control_module.ReloadRequest):
                self.reset()

    def stop(self, graceful: bool = False) -> None:
        """End every part, in less than five seconds; may be repeated."""
        if self._ended.is_set():
            return
        self._ended.set()
        systemd.notify('STOPPING=1', 'STATUS=stopping')
        deadline = time.monotonic() + STOP_TIMEOUT_S
        driver = self.driver
        # What is undone for those who are served needs the driver.
        _stop([(what, server.stop) for what, server in self.servers.items()],
              time.monotonic() + SERVERS_STOP_S)
        _stop([
            ('the audit', lambda: self.audit.stop(0.5)),
            ('the driver', lambda: driver.cleanup_host(self.host)),
            ('the monitor', self._monitor.stop),
            ('the autostart', lambda: self._autostart.stop(0.5)),
            ('the notifier', self._notifier.close)], deadline)

    def reset(self) -> None:
        """Read the configuration again; what can change without a restart."""
        self._reload()

    def status(self) -> dict[str, Any]:
        """Return how the service is, as plain JSON types.

        Asks neither libvirt nor anybody else who may hang.
        """
        connection = connection_status(self.driver)
        facts = self.audit.last.facts
        try:
            service = self.record.load().as_dict()
        except OSError as error:
            service = {'error': str(error)}
        return {
            'host': self.host, 'service': service,
            'health': connection and plain.plain(
                self._monitor.judge(connection)),
            'connection': plain.plain(connection),
            'last_audit': plain.plain(self.audit.last),
            'versions': {
                'nova_libvirt_driver': version.version(),
                'libvirt': facts and host_spec.dotted(
                    facts.libvirt_version),
                'hypervisor': facts and host_spec.dotted(
                    facts.hypervisor_version),
                'hypervisor_type': facts and facts.hypervisor_type}}

    def _init_host(self) -> None:
        # Not on the main thread: a libvirt that hangs must not keep the
        # service from being told to stop.
        done: futures.Future[None] = futures.Future()

        def work() -> None:
            try:
                self.driver.init_host(self.host)
            except Exception as error:
                LOG.error('The driver could not start: %s', error)
                done.set_exception(error)
            else:
                self._announce()
                done.set_result(None)
                self._tidy()
                self._autostart.begin()

        threading.Thread(
            target=work, name='compute-init', daemon=True).start()
        futures.wait([done], START_PATIENCE_S)
        if done.done():
            done.result()
        else:
            LOG.warning('libvirt is slow to answer; the host will be '
                        'enabled as soon as it does')

    def _tidy(self) -> None:
        try:
            self._remove_leftovers()
        except Exception as error:
            LOG.warning('Cannot remove what killed processes left: %s',
                        error)

    def _announce(self) -> None:
        summary = self._summary()
        LOG.info('%s %s on host %s: %s', version.DISTRIBUTION,
                 version.version(), self.host, summary)
        systemd.notify(f'STATUS={summary}')

    def _summary(self) -> str:
        status = connection_status(self.driver)
        if status is None:
            return 'the driver is ready'
        if status.state is connection_spec.ConnectionState.CONNECTED:
            return f'connected to {status.uri}'
        return (f'not connected to {status.uri}: '
                f'{status.last_error or status.state.value}; '
                'the host stays disabled until libvirt answers')

    def _on_event(self, event: event_spec.LifecycleEvent) -> None:
        LOG.info('Instance %s: %s %s', event.name, event.transition.value,
                 event.detail, instance={'uuid': event.uuid})
        self.watch(event)
        for listener in tuple(self.listeners):
            listener(event)
        self._autostart.note(event)
        self._notifier.lifecycle(event)


def connection_status(
        driver: base.ComputeDriver,
) -> connection_spec.ConnectionStatus | None:
    """Return how the driver's connection is, None if it does not say."""
    ask = getattr(driver, 'connection_status', None)
    status: connection_spec.ConnectionStatus | None = ask() if ask else None
    return status


def _stop(
        steps: list[tuple[str, Callable[[], object]]],
        deadline: float) -> None:
    started = [_start(what, step) for what, step in steps]
    for (what, _), thread in zip(steps, started, strict=True):
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            LOG.warning('%s did not stop in time and is left', what)


def _start(what: str, step: Callable[[], object]) -> runtime.Thread:
    def run() -> None:
        try:
            step()
        except Exception as error:
            LOG.warning('%s did not stop cleanly: %s', what, error)

    thread = runtime.Thread(target=run, name=f'stop {what}', daemon=True)
    thread.start()
    return thread
