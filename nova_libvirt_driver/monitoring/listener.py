# SPDX-License-Identifier: Apache-2.0

"""A thread that answers all who connect to one socket.

It waits for all of them at once, so that a place costs a file and some bytes.
Each has a few seconds for everything, however little it sends or reads at a
time; when all places are taken, the one that has had its place longest loses
it. So clients that are slow, or many, keep no others from an answer.

A daemon thread, so that it never keeps the process. In an eventlet process
it is a green one: it answers while the hub runs, whatever libvirt does.
"""

from collections.abc import Callable
import contextlib
import selectors
import socket
import time

from oslo_log import log as logging

from nova_libvirt_driver.calls import runtime

LOG = logging.getLogger(__name__)

Answer = Callable[[bytes], bytes | None]
"""Takes what a client has sent up to now, nothing at first; returns what it
gets, after which its connection ends, or None if there is more to come."""

_PLACES = 256
_TALK_S = 5.0
# For a client that was answered and does not hang up.
_LINGER_S = 1.0
_PIECE_BYTES = 65536
_ACCEPTED_AT_ONCE = 64
_PAUSE_S = 0.2


class Listener:
    """Accepts on one socket.

    :param listening: it is closed when the listener stops
    :param answer: is called on the listener's thread, and must not block
    :param name: of the thread
    """

    def __init__(
            self, listening: socket.socket, answer: Answer,
            name: str) -> None:
        self._listening = listening
        self._listening.setblocking(False)
        # Neither closing nor shutting down the socket wakes a green thread
        # that waits for it.
        self._waker, self._woken = socket.socketpair()
        self._answer = answer
        # The oldest comes first.
        self._clients: dict[socket.socket, _Client] = {}
        self._stopped = False
        self._thread = runtime.Thread(
            target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Accept from now on.

        :raises RuntimeError: the process has no thread left
        """
        try:
            self._thread.start()
        except RuntimeError:
            self._close()
            raise

    def stop(self, timeout_s: float) -> None:
        """Accept nothing more; waits for at most *timeout_s*."""
        self._stopped = True
        self._waker.send(b'.')
        self._thread.join(timeout_s)
        self._close()

    def _close(self) -> None:
        for one in (self._listening, self._waker, self._woken):
            one.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._stopped:
                self._turn(selector)
            for client in list(self._clients.values()):
                self._drop(selector, client)

    def _turn(self, selector: selectors.BaseSelector) -> None:
        ready = selector.select(self._left_s())
        for key, _ in ready:
            if key.data is not None:
                self._go_on(selector, key.data)
        if any(key.fileobj is self._listening for key, _ in ready):
            self._accept(selector)
        self._drop_late(selector)

    def _left_s(self) -> float | None:
        """Return how long the next deadline is away."""
        deadlines = [one.deadline for one in self._clients.values()]
        return (max(0.0, min(deadlines) - time.monotonic())
                if deadlines else None)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _address = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                # Such as too many open files.
                LOG.debug('A monitor was not let in: %s', error)
                self._drop_oldest(selector)
                time.sleep(_PAUSE_S)
                return
            if len(self._clients) >= _PLACES:
                self._drop_oldest(selector)
            connection.setblocking(False)
            client = _Client(connection, time.monotonic() + _TALK_S)
            self._clients[connection] = client
            selector.register(connection, selectors.EVENT_READ, client)
            self._go_on(selector, client)

    def _go_on(
            self, selector: selectors.BaseSelector,
            client: '_Client') -> None:
        if client.connection not in self._clients:
            return
        try:
            client.go_on(self._answer)
        except OSError as error:
            LOG.debug('A monitor went away: %s', error)
            client.ended = True
        except Exception:
            LOG.exception('A monitor could not be answered')
            client.ended = True
        if client.ended:
            self._drop(selector, client)
        else:
            selector.modify(client.connection, client.awaits, client)

    def _drop_late(self, selector: selectors.BaseSelector) -> None:
        now = time.monotonic()
        for client in [one for one in self._clients.values()
                       if one.deadline <= now]:
            self._drop(selector, client)

    def _drop_oldest(self, selector: selectors.BaseSelector) -> None:
        oldest = next(iter(self._clients.values()), None)
        if oldest is not None:
            self._drop(selector, oldest)

    def _drop(
            self, selector: selectors.BaseSelector,
            client: '_Client') -> None:
        del self._clients[client.connection]
        selector.unregister(client.connection)
        client.connection.close()


class _Client:
    """One connection: what has come, and what has still to go."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self.connection = connection
        self.deadline = deadline
        self.ended = False
        self._came = b''
        # None until the answer is known.
        self._to_go: bytes | None = None

    @property
    def awaits(self) -> int:
        """What the selector is to look for."""
        return (selectors.EVENT_WRITE if self._to_go
                else selectors.EVENT_READ)

    def go_on(self, answer: Answer) -> None:
        """Read, answer and write as far as that does not block.

        :raises OSError: the other side has gone
        """
        piece = self._read()
        if self._to_go is None:
            self._came += piece or b''
            self._to_go = answer(self._came)
            if self._to_go is not None:
                self._write()
        elif self._to_go:
            self._write()
        # What else is sent is read and thrown away: a connection that is
        # closed with bytes unread is reset, and its client may lose the
        # answer.
        self.ended = piece == b'' and not self._to_go

    def _read(self) -> bytes | None:
        try:
            return self.connection.recv(_PIECE_BYTES)
        except BlockingIOError:
            return None

    def _write(self) -> None:
        if self._to_go:
            with contextlib.suppress(BlockingIOError):
                self._to_go = self._to_go[self.connection.send(self._to_go):]
        if not self._to_go:
            self.connection.shutdown(socket.SHUT_WR)
            self.deadline = min(
                self.deadline, time.monotonic() + _LINGER_S)
