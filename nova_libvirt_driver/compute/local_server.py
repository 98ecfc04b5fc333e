# SPDX-License-Identifier: Apache-2.0

"""Serves the verbs of the driver on a socket of this machine.

Each connection carries one request, a JSON object on a line: ``method`` and
``arguments``. The service answers with objects on lines: ``step``, or
``done`` and ``total``, as the verb goes on; ``event`` for each event that was
asked for with ``watch``; in the end ``result`` or ``error``. A client that
goes away, or closes its half, cancels the verb at its next step. Only root
and the user of the service are served.
"""

from collections.abc import Iterator
import contextlib
import json
import os
import queue
import socket
import struct
import threading
import time
from typing import Any

from oslo_log import log as logging

from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver.compute import rpc_error
from nova_libvirt_driver.compute import verbs
from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import event as event_spec

LOG = logging.getLogger(__name__)

WATCH = 'watch'
MAX_BYTES = 64 << 20
"""Of one line: a request may hold a config drive, an answer a console."""

_BACKLOG = 256
_PLACES = 128
_TALK_S = 10.0
_LOOK_S = 0.25
_STEP_S = 0.1
_STOP_S = 1.5
_CREDENTIALS = '3i'


@contextlib.contextmanager
def reachable(path: str) -> Iterator[str]:
    """Give an address of a socket; its path may be longer than 107 bytes."""
    folder = os.open(os.path.dirname(path) or '.', os.O_PATH | os.O_CLOEXEC)
    try:
        yield f'/proc/self/fd/{folder}/{os.path.basename(path)}'
    finally:
        os.close(folder)


class Gone(Exception):
    """The client wants no answer any more, or the service is to end."""


class LocalServer:
    """Serves one path until it is stopped.

    :param path: of a socket; no other process may serve it
    :param listeners: who gets the events of guests
    """

    def __init__(
            self, path: str, endpoint: verbs.Endpoint,
            listeners: set[ports.LifecycleListener]) -> None:
        self._path = path
        self._endpoint = endpoint
        self._listeners = listeners
        self._listening: socket.socket | None = None
        self._places = threading.BoundedSemaphore(_PLACES)
        self._stopping = threading.Event()
        self._thread: runtime.Thread | None = None

    def start(self) -> None:
        """Serve from now on; without a socket it says so in the log."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            # Before it has a name, so that it is never open to others.
            os.fchmod(listening.fileno(), 0o600)
            with reachable(self._path) as address:
                listening.bind(address)
            os.chmod(self._path, 0o600)
            listening.listen(_BACKLOG)
            listening.settimeout(_LOOK_S)
        except OSError as error:
            listening.close()
            LOG.warning('Commands cannot reach this service at %s: %s',
                        self._path, error)
            return
        self._listening = listening
        self._stopping.clear()
        self._thread = runtime.Thread(
            target=self._accept, args=(listening,), name='local-server',
            daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let verbs that are under way be undone; takes some seconds."""
        listening, self._listening = self._listening, None
        if listening is None:
            return
        self._stopping.set()
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        deadline = time.monotonic() + _STOP_S
        taken = 0
        while taken < _PLACES and self._places.acquire(
                timeout=max(0.0, deadline - time.monotonic())):
            taken += 1
        if self._thread is not None:
            self._thread.join(_LOOK_S * 2)
        for _ in range(taken):
            self._places.release()

    def _accept(self, listening: socket.socket) -> None:
        with listening:
            while not self._stopping.is_set():
                if self._places.acquire(timeout=_LOOK_S) and (
                        not self._let_in(listening)):
                    self._places.release()

    def _let_in(self, listening: socket.socket) -> bool:
        """Serve the next client; False if there is none, or no way to."""
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            return False
        except OSError as error:
            # Such as too many open files.
            LOG.warning('A command was not let in: %s', error)
            self._stopping.wait(_LOOK_S)
            return False
        try:
            threading.Thread(
                target=self._talk, args=(connection,), name='local-request',
                daemon=True).start()
        except RuntimeError as error:
            LOG.warning('A command was not let in: %s', error)
            connection.close()
            return False
        return True

    def _talk(self, connection: socket.socket) -> None:
        client = _Client(connection, self._stopping)
        try:
            with connection:
                client.send(self._answer(client))
        except (Gone, OSError) as error:
            LOG.debug('A command went away: %s', error)
        finally:
            self._places.release()

    def _answer(self, client: '_Client') -> dict[str, Any]:
        method = ''
        try:
            # First, as what is closed with bytes unread loses the answer.
            request = client.request()
            client.check_user()
            method = str(request.get('method'))
            arguments = request.get('arguments', {})
            if not isinstance(arguments, dict):
                raise exception.InvalidRequest(
                    reason='the arguments are not an object')
            if method == WATCH:
                self._watch(client)
            return {'result': self._endpoint.call(method, arguments, client)}
        except exception.DriverError as error:
            return _refusal(error)
        except Gone as error:
            if method != WATCH:
                LOG.info('Cancelled %s: %s', method, error)
            return _refusal(exception.Cancelled(reason=str(error)))
        except Exception as error:
            LOG.exception('A command has failed')
            return _refusal(exception.DriverError(
                reason=f'unexpected {type(error).__name__}: {error}; the log '
                'of the service says where'))

    def _watch(self, client: '_Client') -> None:
        events: queue.SimpleQueue[event_spec.LifecycleEvent] = (
            queue.SimpleQueue())
        self._listeners.add(events.put)
        try:
            client.say({'step': WATCH})
            while True:
                client.check()
                with contextlib.suppress(queue.Empty):
                    client.say({'event': verbs.converter().unstructure(
                        events.get(timeout=_LOOK_S))})
        finally:
            self._listeners.discard(events.put)


def _refusal(error: exception.DriverError) -> dict[str, Any]:
    return {'error': rpc_error.to_wire(error).args}


class _Client:
    """One connection; implements ``Progress``."""

    def __init__(
            self, connection: socket.socket,
            stopping: threading.Event) -> None:
        connection.settimeout(_TALK_S)
        self._connection = connection
        # It never waits; eventlet's own module has none.
        select = runtime.original('select')
        self._news = select.poll()
        self._news.register(connection, select.POLLIN | select.POLLHUP)
        self._stopping = stopping
        self._said_at = 0.0

    def check_user(self) -> None:
        """Refuse a user who may not give orders to the service.

        :raises OperationRefused: this one may not
        """
        _, uid, _ = struct.unpack(_CREDENTIALS, self._connection.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED,
            struct.calcsize(_CREDENTIALS)))
        if uid not in (0, os.geteuid()):
            raise exception.OperationRefused(
                tried='serve a command',
                reason=f'user {uid} is neither root nor that of the service')

    def request(self) -> dict[str, Any]:
        """Return what the client asks for.

        :raises InvalidRequest: it makes no sense
        """
        with self._connection.makefile('rb') as file:
            line = file.readline(MAX_BYTES + 1)
        try:
            if len(line) > MAX_BYTES:
                raise records.Unreadable('it is too long')
            return records.parse(line)
        except records.Unreadable as error:
            raise exception.InvalidRequest(reason=str(error)) from error

    def send(self, message: dict[str, Any]) -> None:
        """Send a line; raises OSError for a client that does not read it."""
        self._connection.sendall(json.dumps(message).encode() + b'\n')

    def check(self) -> None:
        """Raise Gone if the verb is to end."""
        if self._stopping.is_set():
            raise Gone('the service was stopped meanwhile')
        # It sends nothing after its request.
        if self._news.poll(0):
            raise Gone('the command was interrupted')

    def step(self, name: str) -> None:
        self.say({'step': name})

    def advance(self, done: int, total: int) -> None:
        self.check()
        now = time.monotonic()
        if now >= self._said_at + _STEP_S:
            self._said_at = now
            self.say({'done': done, 'total': total})

    def say(self, message: dict[str, Any]) -> None:
        """Send a line; raise Gone if the verb is to end."""
        self.check()
        try:
            self.send(message)
        except OSError as error:
            raise Gone('the command went away') from error
