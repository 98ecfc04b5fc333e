# SPDX-License-Identifier: Apache-2.0

"""Makes one driver answer those who watch it.

Both hosts of a driver have a monitor: the stand-alone service and the
plug-in for Nova. What it reports is known already, so it takes no time also
while libvirt hangs.
"""

from collections.abc import Callable
import contextlib
import importlib.util
import threading
from typing import Any
from typing import Protocol

from oslo_log import log as logging

from nova_libvirt_driver import base
from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver import exception
from nova_libvirt_driver.monitoring import document
from nova_libvirt_driver.monitoring import health as health_module
from nova_libvirt_driver.monitoring import status_socket
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import health as health_spec
from nova_libvirt_driver.spec import monitoring as monitoring_spec

LOG = logging.getLogger(__name__)

PACKAGE = 'prometheus_client'

_JSON = 'application/json'

_UNSERVED = ('Cannot report how this process is at %s: %s. Let [%s] %s name '
             '%s, or switch it off with "%s"; will retry every %g s')
_RETRY_S = 30.0
_STOP_S = 2.0
_GROUP = 'nova_libvirt_driver'


def check(settings: monitoring_spec.Settings) -> None:
    """See whether what is wanted can be had.

    :raises InvalidConfiguration: metrics are wanted, and the package for
        them is not installed
    """
    if settings.metrics_port and importlib.util.find_spec(PACKAGE) is None:
        raise exception.InvalidConfiguration(
            reason='[nova_libvirt_driver] metrics_port is set, but the '
            f'package {PACKAGE} is not installed: '
            'pip install nova-libvirt-driver[metrics]')


class Monitor:
    """Answers on the status socket and, if wanted, over HTTP.

    :param driver: one that does not report its connection is not watched
    :param retry_s: how long after a failure a place is tried again
    """

    def __init__(
            self, driver: base.ComputeDriver,
            settings: monitoring_spec.Settings, *,
            retry_s: float = _RETRY_S) -> None:
        self._driver: Any = driver
        self._settings = settings
        self._retry_s = retry_s
        self._stops: list[Callable[[], object]] = []

    def start(self) -> None:
        """Answer from now on; what cannot be served is a warning.

        :raises InvalidConfiguration: see :func:`check`
        """
        check(self._settings)
        if not hasattr(self._driver, 'connection_status'):
            LOG.info('The driver does not report its connection, so there '
                     'is nothing to monitor')
            return
        if self._settings.status_socket:
            self._serve_socket(self._settings.status_socket)
        if self._settings.metrics_port:
            self._serve_metrics()

    def stop(self) -> None:
        """Answer no longer; takes at most two seconds."""
        stops, self._stops = self._stops, []
        for stop in reversed(stops):
            stop()

    def state(
            self) -> tuple[connection_spec.ConnectionStatus,
                           health_spec.Health]:
        """Return how the driver is, without asking libvirt."""
        status = self._driver.connection_status()
        return status, self.judge(status)

    def judge(
            self, status: connection_spec.ConnectionStatus,
    ) -> health_spec.Health:
        """Return how a driver is whose connection is as *status* says."""
        return health_module.judge(
            status, grace_s=self._settings.service_down_grace_s)

    def document(self) -> dict[str, Any]:
        """Return the same, and whose it is, as plain JSON types."""
        return document.make(self._settings.host, *self.state())

    def _serve_socket(self, path: str) -> None:
        serving = status_socket.StatusSocket(
            path, lambda: document.text(self.document()))
        self._serve(serving, lambda error: LOG.warning(
            _UNSERVED, path, _words(error), _GROUP, 'status_socket',
            "a path in a folder that the process's user may write", 'off',
            self._retry_s))

    def _serve_metrics(self) -> None:
        # Only now: they cost memory, and a package that may not be there.
        from nova_libvirt_driver.monitoring import endpoint
        from nova_libvirt_driver.monitoring import metrics
        from nova_libvirt_driver.monitoring import verbs
        settings = self._settings
        measured = metrics.Metrics(settings.host, self.state)
        serving = endpoint.Endpoint(
            settings.metrics_listen, settings.metrics_port, {
                '/metrics': lambda: endpoint.Answer(
                    200, metrics.CONTENT_TYPE, measured.text()),
                '/health': lambda: endpoint.Answer(
                    *self._health_page())})
        self._serve(serving, lambda error: LOG.warning(
            _UNSERVED, f'{settings.metrics_listen} port '
            f'{settings.metrics_port}', _words(error), _GROUP,
            'metrics_port', 'one that is free', 0, self._retry_s))
        self._stops.append(verbs.measure(self._driver, measured))
        if hasattr(self._driver, 'observe_calls'):
            self._driver.observe_calls(measured)
            self._stops.append(lambda: self._driver.observe_calls(None))

    def _serve(
            self, serving: '_Serving',
            warn: Callable[[Exception], object]) -> None:
        """Answer at one place, as soon as it can be had."""
        try:
            serving.start()
        except (OSError, RuntimeError) as error:
            warn(error)
            self._stops.append(_Later(serving, self._retry_s).stop)
        else:
            self._stops.append(serving.stop)

    def _health_page(self) -> tuple[int, str, bytes]:
        status, health = self.state()
        page = document.make(self._settings.host, status, health)
        down = health.verdict is health_spec.Verdict.UNAVAILABLE
        return 503 if down else 200, _JSON, document.text(page)


class _Serving(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


class _Later:
    """Tries again and again to serve what could not be served."""

    def __init__(self, serving: _Serving, retry_s: float) -> None:
        self._serving = serving
        self._retry_s = retry_s
        self._stopped = threading.Event()
        self._thread = runtime.Thread(
            target=self._run, name='monitor-retry', daemon=True)
        # Without a thread left there is nothing that could try.
        with contextlib.suppress(RuntimeError):
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        self._serving.stop()

    def _run(self) -> None:
        while not self._stopped.wait(self._retry_s):
            try:
                self._serving.start()
            except (OSError, RuntimeError) as error:
                LOG.debug('A monitor cannot be answered yet: %s', error)
            else:
                LOG.info('Monitors are answered from now on')
                return


def _words(error: Exception) -> str:
    return getattr(error, 'strerror', None) or str(error)
