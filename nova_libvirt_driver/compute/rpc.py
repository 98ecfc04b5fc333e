# SPDX-License-Identifier: Apache-2.0

"""Serves the compute service's RPC: topic ``compute``, version 1.0.

Results are plain JSON types. The broker may be down when the service starts
and may come later: nothing waits for it.
"""

from collections.abc import Callable
import functools
import threading
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from nova_libvirt_driver import base
from nova_libvirt_driver.compute import plain
from nova_libvirt_driver.compute import rpc_error
from nova_libvirt_driver import exception
from nova_libvirt_driver.messaging.library import oslo_messaging
from nova_libvirt_driver.messaging import transport
from nova_libvirt_driver.spec import instance as instance_spec

LOG = logging.getLogger(__name__)

TOPIC = 'compute'
VERSION = '1.0'


def _travelling(
        method: Callable[..., Any]) -> Callable[..., Any]:
    """Let errors of ours travel to the caller, without a traceback here."""

    @functools.wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except exception.DriverError as error:
            raise rpc_error.to_wire(error) from error

    expected: Callable[..., Any] = oslo_messaging.expected_exceptions(
        rpc_error.WireError)(wrapped)
    return expected


class ComputeEndpoint:
    """The methods that can be called from afar.

    :param status: returns what the service says of itself
    """

    target = oslo_messaging.Target(version=VERSION)

    def __init__(
            self, host: str, driver: base.ComputeDriver,
            status: Callable[[], dict[str, Any]]) -> None:
        self._host = host
        self._driver = driver
        self._status = status

    @_travelling
    def status(self, ctxt: object) -> dict[str, Any]:
        """Return how the service is; costs no call to libvirt."""
        return self._status()

    @_travelling
    def list_instances(self, ctxt: object) -> list[dict[str, Any]]:
        """Return one row for each guest on this host, sorted by name."""
        rows: list[dict[str, Any]] = plain.plain(
            self._driver.list_instance_summaries())
        return rows

    @_travelling
    def show_instance(
            self, ctxt: object, instance: str) -> dict[str, Any]:
        """Return the row of one guest.

        :param instance: its uuid or its name
        """
        row: dict[str, Any] = plain.plain(self._find(instance))
        return row

    @_travelling
    def get_power_state(
            self, ctxt: object, instance: str) -> dict[str, Any]:
        """Return the power state of one guest, as asked of libvirt now.

        :param instance: its uuid or its name
        """
        summary = self._find(instance)
        info = self._driver.get_info(
            instance_spec.InstanceRef(summary.uuid, summary.name),
            use_cache=False)
        return {'uuid': summary.uuid, 'name': summary.name,
                'state': plain.plain(info.state),
                'power_state': int(info.state)}

    def _find(self, instance: str) -> instance_spec.InstanceSummary:
        found = [row for row in self._driver.list_instance_summaries()
                 if instance in (row.name, row.uuid)]
        if not found:
            raise exception.InstanceNotFound(
                instance=instance, host=self._host)
        # A uuid wins over a guest that has it for a name.
        return max(found, key=lambda row: row.uuid == instance)


class RpcServer:
    """Serves an endpoint until it is stopped."""

    def __init__(
            self, conf: cfg.ConfigOpts, host: str,
            endpoint: ComputeEndpoint) -> None:
        self._transport = transport.for_rpc(conf, rpc_error.MODULE)
        self._server = oslo_messaging.get_rpc_server(
            self._transport,
            oslo_messaging.Target(topic=TOPIC, server=host),
            [endpoint], executor='threading',
            access_policy=oslo_messaging.DefaultRPCAccessPolicy)

    def start(self) -> None:
        """Start serving; returns at once, also without a broker."""
        threading.Thread(
            target=self._serve, name='compute-rpc', daemon=True).start()

    def stop(self) -> None:
        """Stop serving; blocks until it has, and for ever if it never began.

        The caller bounds it: oslo.messaging has no deadline for this.
        """
        self._server.stop()
        self._server.wait()
        self._transport.cleanup()

    def _serve(self) -> None:
        try:
            self._server.start()
        except Exception as error:
            LOG.error('The service cannot be called over RPC: %s', error)
        else:
            LOG.info('Serving RPC on topic %s', TOPIC)
