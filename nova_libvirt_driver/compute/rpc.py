# SPDX-License-Identifier: Apache-2.0

"""Serves the compute service's RPC: topic ``compute``, version 2.0.

Results are plain JSON types. The broker may be down when the service starts
and may come later: nothing waits for it.
"""

from collections.abc import Callable
import threading
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from nova_libvirt_driver.compute import rpc_error
from nova_libvirt_driver.compute import verbs
from nova_libvirt_driver import exception
from nova_libvirt_driver.messaging.library import oslo_messaging
from nova_libvirt_driver.messaging import transport

LOG = logging.getLogger(__name__)

TOPIC = 'compute'
VERSION = '2.0'


def _expected(method: Callable[..., Any]) -> Callable[..., Any]:
    made: Callable[..., Any] = oslo_messaging.expected_exceptions(
        rpc_error.WireError)(method)
    return made


class ComputeEndpoint:
    """What can be asked from afar: that which changes nothing."""

    target = oslo_messaging.Target(version=VERSION)

    def __init__(self, endpoint: verbs.Endpoint) -> None:
        self._endpoint = endpoint

    @_expected
    def call(
            self, ctxt: object, verb: str,
            arguments: dict[str, Any]) -> Any:
        """Return the result of a method of the driver; see :mod:`.verbs`.

        Errors of ours travel to the caller, without a traceback here.
        """
        try:
            return self._endpoint.call(verb, arguments, reading_only=True)
        except exception.DriverError as error:
            raise rpc_error.to_wire(error) from error


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
