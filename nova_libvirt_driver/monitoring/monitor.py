# SPDX-License-Identifier: Apache-2.0

"""Makes one driver answer those who watch it.

Both hosts of a driver have a monitor: the stand-alone service and the
plug-in for Nova. What it reports is known already, so it takes no time also
while libvirt hangs.
"""

from collections.abc import Callable
import dataclasses
import functools
import importlib.util
import json
import os
from typing import Any
from typing import Protocol

from oslo_log import log as logging

from nova_libvirt_driver import base
from nova_libvirt_driver.calls import worker as worker_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.monitoring import health as health_module
from nova_libvirt_driver.monitoring import status_socket
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import health as health_spec
from nova_libvirt_driver.spec import monitoring as monitoring_spec
from nova_libvirt_driver import version

LOG = logging.getLogger(__name__)

PACKAGE = 'prometheus_client'

_JSON = 'application/json'
_TEXT = 'text/plain; charset=utf-8'

_UNSERVED = ('Cannot report how this process is at %s: %s. Let [%s] %s name '
             '%s, or switch it off with "%s"; will retry every %g s')
_RETRY_S = 30.0
_STOP_S = 2.0
_GROUP = 'nova_libvirt_driver'
FORMAT = 1
"""Rises when a field changes its meaning or goes away."""


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
        self._retries: list[worker_module.Worker] = []
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
        retries, self._retries = self._retries, []
        for retry in retries:
            retry.stop(_STOP_S)
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
        return document(self._settings.host, *self.state())

    def _serve_socket(self, path: str) -> None:
        serving = status_socket.StatusSocket(
            path, lambda: line(self.document()))
        self._serve(serving, lambda error: LOG.warning(
            _UNSERVED, path, _words(error), _GROUP, 'status_socket',
            "a path in a folder that the process's user may write", 'off',
            self._retry_s))

    def _serve_metrics(self) -> None:
        # Only now: they cost memory, and a package that may not be there.
        from nova_libvirt_driver.monitoring import endpoint
        from nova_libvirt_driver.monitoring import figures
        from nova_libvirt_driver.monitoring import metrics
        from nova_libvirt_driver.monitoring import verbs
        settings = self._settings
        guests = figures.GuestFigures(self._driver.get_guest_figures)
        self._stops.append(guests.stop)
        measured = metrics.Metrics(
            settings.host, self.state,
            guests.latest if settings.guest_metrics else None)
        serving = endpoint.Endpoint(
            settings.metrics_listen, settings.metrics_port, {
                '/': lambda: endpoint.Answer(200, _TEXT, self._index()),
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
            self._serve_later(serving)
        self._stops.append(serving.stop)

    def _serve_later(self, serving: '_Serving') -> None:
        """Try again and again to answer at a place."""
        worker = worker_module.Worker('monitor-retry')

        def wait() -> None:
            worker.later(self._retry_s, start)

        def start() -> None:
            try:
                serving.start()
            except (OSError, RuntimeError) as error:
                LOG.debug('A monitor cannot be answered yet: %s', error)
                wait()
            else:
                LOG.info('Monitors are answered from now on')
                worker.finish(0)

        worker.submit(wait)
        self._retries.append(worker)

    def _index(self) -> bytes:
        return (f'nova-libvirt-driver {_version()} on host '
                f'{self._settings.host}\n\n'
                '/metrics  figures for Prometheus\n'
                '/health   whether it can do its work, as JSON; status 503 '
                'if not\n').encode()

    def _health_page(self) -> tuple[int, str, bytes]:
        status, health = self.state()
        page = document(self._settings.host, status, health)
        down = health.verdict is health_spec.Verdict.UNAVAILABLE
        return 503 if down else 200, _JSON, line(page)


class _Serving(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


def _words(error: Exception) -> str:
    return getattr(error, 'strerror', None) or str(error)


def document(
        host: str, status: connection_spec.ConnectionStatus,
        health: health_spec.Health) -> dict[str, Any]:
    """Return the document about one driver."""
    return {
        'format': FORMAT, 'host': host, 'pid': os.getpid(),
        'driver_version': _version(),
        'health': dataclasses.asdict(health),
        'connection': dataclasses.asdict(status)}


def line(document: dict[str, Any]) -> bytes:
    """Return a document as one line of JSON."""
    return json.dumps(document).encode() + b'\n'


@functools.cache
def _version() -> str:
    # It is read from a file, and does not change while the process lives.
    return version.version()
