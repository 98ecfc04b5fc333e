# SPDX-License-Identifier: Apache-2.0

"""Calls a compute service over RPC; the other side of ``rpc``."""

from concurrent import futures
import threading
from typing import Any

from oslo_config import cfg

from nova_libvirt_driver import base
from nova_libvirt_driver.compute import rpc
from nova_libvirt_driver.compute import rpc_error
from nova_libvirt_driver import exception
from nova_libvirt_driver.messaging.library import oslo_messaging
from nova_libvirt_driver.messaging import transport
from nova_libvirt_driver import ports

CONNECT_ATTEMPTS = 1
MARGIN_S = 1.0


class ComputeClient:
    """A client of the service on one host.

    A call blocks for *timeout_s* or slightly longer, and
    raises what the driver there has raised, or ``RemoteError``.

    :raises InvalidConfiguration: transport_url is not set or makes no sense
    """

    def __init__(
            self, conf: cfg.ConfigOpts, host: str,
            timeout_s: float = 10.0) -> None:
        self._host = host
        self._timeout_s = timeout_s
        self._lost = False
        self._transport = _transport(conf)
        self._client = oslo_messaging.get_rpc_client(
            self._transport,
            oslo_messaging.Target(
                topic=rpc.TOPIC, server=host, version=rpc.VERSION),
            timeout=timeout_s, retry=CONNECT_ATTEMPTS)

    def close(self) -> None:
        """Let go of the connection to the broker."""
        if not self._lost:
            self._transport.cleanup()

    def call(
            self, method: str, arguments: dict[str, Any],
            progress: ports.Progress = base.NO_PROGRESS) -> Any:
        """Return the answer to a request; see :mod:`.verbs`."""
        # Without a broker oslo.messaging tries for ever, whatever it is
        # told; so it does that on a thread that can be left behind.
        answer: futures.Future[Any] = futures.Future()

        def ask() -> None:
            try:
                answer.set_result(self._client.call(
                    {}, 'call', verb=method, arguments=arguments))
            except Exception as error:
                answer.set_exception(error)

        threading.Thread(target=ask, name='rpc-call', daemon=True).start()
        return self._outcome(answer)

    def _outcome(self, answer: 'futures.Future[Any]') -> Any:
        try:
            return answer.result(self._timeout_s + MARGIN_S)
        except TimeoutError as error:
            self._lost = True
            raise self._failure(
                'the message bus cannot be reached within '
                f'{self._timeout_s + MARGIN_S:g} s') from error
        except rpc_error.WireError as error:
            raise rpc_error.from_wire(error, self._host) from None
        except oslo_messaging.MessagingTimeout as error:
            raise self._failure('no answer within '
                                f'{self._timeout_s:g} s') from error
        except oslo_messaging.RemoteError as error:
            raise self._failure(
                f'{error.exc_type}: {error.value}') from error
        except (oslo_messaging.MessagingException, OSError) as error:
            raise self._failure(
                f'the message bus cannot be used: {error}') from error

    def _failure(self, reason: str) -> exception.RemoteError:
        return exception.RemoteError(host=self._host, reason=reason)


def _transport(conf: cfg.ConfigOpts) -> Any:
    if not transport.is_set(conf):
        raise exception.InvalidConfiguration(
            reason='[DEFAULT] transport_url is not set')
    return transport.for_rpc(conf, rpc_error.MODULE)
