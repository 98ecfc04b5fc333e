# SPDX-License-Identifier: Apache-2.0

"""A driver that lives in a compute service, as a caller elsewhere sees it."""

from collections.abc import Callable
import json
import queue
import socket
import threading
from typing import Any
from typing import BinaryIO
from typing import Protocol

from nova_libvirt_driver import base
from nova_libvirt_driver.compute import local_server
from nova_libvirt_driver.compute import rpc_error
from nova_libvirt_driver.compute import verbs
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import event as event_spec

CONNECT_S = 10.0


class Client(Protocol):
    """Carries requests to a service."""

    def call(
            self, method: str, arguments: dict[str, Any],
            progress: ports.Progress = base.NO_PROGRESS) -> Any:
        """Return the answer; raises what the driver there has raised."""


class RemoteDriver:
    """Has those methods of the driver that a service serves.

    :param client: it must be able to watch events, if they are listened to
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method not in verbs.READING | verbs.CHANGING:
            raise AttributeError(f'a service does not serve {method}')

        def call(
                *args: Any, progress: ports.Progress = base.NO_PROGRESS,
                **keywords: Any) -> Any:
            return verbs.result(method, self._client.call(
                method, verbs.encoded(method, args, keywords), progress))

        return call

    def init_host(self, host: str) -> None:
        """Do nothing: the service has done it."""

    def cleanup_host(self, host: str) -> None:
        """Do nothing: the service goes on."""

    def register_event_listener(
            self, callback: ports.LifecycleListener) -> None:
        """Pass events on, as long as the service and this process live."""
        watching: queue.SimpleQueue[exception.DriverError | None] = (
            queue.SimpleQueue())

        def pass_on(event: dict[str, Any]) -> None:
            callback(verbs.converter().structure(
                event, event_spec.LifecycleEvent))

        def watch() -> None:
            try:
                self._client.call(local_server.WATCH, {}, _Watch(
                    lambda: watching.put(None), pass_on))
            except exception.DriverError as error:
                watching.put(error)

        threading.Thread(
            target=watch, name='watch-events', daemon=True).start()
        error = watching.get()
        if error is not None:
            raise error


class _Watch(ports.NullProgress):

    def __init__(
            self, begun: Callable[[], None],
            event: Callable[[dict[str, Any]], None]) -> None:
        self._begun = begun
        self.event = event

    def step(self, name: str) -> None:
        self._begun()


class LocalClient:
    """A client of the service that serves a socket of this machine.

    :param host: of the service
    """

    def __init__(self, path: str, host: str) -> None:
        self._path = path
        self._host = host

    def call(
            self, method: str, arguments: dict[str, Any],
            progress: ports.Progress = base.NO_PROGRESS) -> Any:
        """Return the answer of the service; waits as long as that takes.

        When this thread is interrupted, the service undoes the verb first,
        and a second interruption does not wait for that.

        :raises DriverError: what the driver there has raised
        :raises ServiceLost: there is none, or it ended meanwhile
        :raises RemoteError: it does not answer in time
        """
        try:
            with (self._connected() as connection,
                  connection.makefile('rb') as lines):
                connection.sendall(json.dumps(
                    {'method': method, 'arguments': arguments}
                ).encode() + b'\n')
                connection.settimeout(
                    CONNECT_S if method == 'uri' else None)
                try:
                    return self._answer(method, lines, progress)
                except KeyboardInterrupt as interrupt:
                    connection.shutdown(socket.SHUT_WR)
                    self._await_end(method, lines, interrupt)
                    raise
        except OSError as error:
            raise self._lost(method, error) from error

    def _await_end(
            self, method: str, lines: BinaryIO,
            interrupt: KeyboardInterrupt) -> None:
        try:
            self._answer(method, lines, base.NO_PROGRESS)
        except exception.DriverError:
            return
        except KeyboardInterrupt as again:
            again.add_note('the service goes on undoing it')
            raise
        interrupt.add_note('it was done before it could be cancelled')

    def _answer(
            self, method: str, lines: BinaryIO,
            progress: ports.Progress) -> Any:
        while True:
            message = self._message(method, lines)
            if 'step' in message:
                progress.step(message['step'])
            elif 'total' in message:
                progress.advance(message['done'], message['total'])
            elif 'event' in message and isinstance(progress, _Watch):
                progress.event(message['event'])
            elif 'error' in message:
                raise rpc_error.from_wire(
                    rpc_error.WireError(*message['error']), self._host)
            elif 'result' in message:
                return message['result']

    def _message(self, method: str, lines: BinaryIO) -> dict[str, Any]:
        try:
            message: dict[str, Any] = json.loads(lines.readline())
        except (OSError, ValueError) as error:
            raise self._lost(method, error) from error
        return message

    def _connected(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(CONNECT_S)
            with local_server.reachable(self._path) as address:
                made.connect(address)
        except BaseException:
            made.close()
            raise
        return made

    def _lost(
            self, method: str,
            error: Exception) -> exception.RemoteError:
        if isinstance(error, TimeoutError):
            return self._silent()
        lost = {'host': self._host, 'tried': method.replace('_', ' ')}
        if method in verbs.CHANGING:
            return exception.ServiceLost(**lost)
        return exception.ServiceLost(**lost, changes=False, hint='try again')

    def _silent(self) -> exception.RemoteError:
        return exception.RemoteError(
            host=self._host, reason=f'no answer at {self._path} within '
            f'{CONNECT_S:g} s')
