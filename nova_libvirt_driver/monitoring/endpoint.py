# SPDX-License-Identifier: Apache-2.0

"""Answers HTTP requests of monitors: ``/metrics`` and ``/health``.

Anybody who reaches the port is answered, so by default it is on the loopback
address. Each request has a thread of its own, a green one in an eventlet
process, and there are few of these at a time.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from http import server
import socket
import threading

from oslo_log import log as logging

from nova_libvirt_driver.monitoring import listener as listener_module

LOG = logging.getLogger(__name__)

_BACKLOG = 64
_MAX_REQUESTS = 8
_STOP_S = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What one request is answered with."""

    status: int
    content_type: str
    body: bytes


class Endpoint:
    """Serves one port.

    :param pages: makes the answer for each path; asks nobody who may hang
    """

    def __init__(
            self, address: str, port: int,
            pages: Mapping[str, Callable[[], Answer]]) -> None:
        self._address = address
        self._port = port
        self._pages = pages
        self._places = threading.Semaphore(_MAX_REQUESTS)
        self._listener: listener_module.Listener | None = None
        self.port = 0
        """The port that is served; 0 while none is."""

    def start(self) -> None:
        """Answer from now on.

        :raises OSError: the address or the port cannot be had
        :raises RuntimeError: the process has no thread left
        """
        family = socket.AF_INET6 if ':' in self._address else socket.AF_INET
        listening = socket.create_server(
            (self._address, self._port), family=family, backlog=_BACKLOG)
        port = listening.getsockname()[1]
        listener = listener_module.Listener(
            listening, self._serve, 'metrics')
        listener.start()
        self._listener, self.port = listener, port

    def stop(self) -> None:
        """Answer nobody any more; takes a second at the most."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self.port = 0
            listener.stop(_STOP_S)

    def _serve(self, connection: socket.socket) -> None:
        if not self._places.acquire(blocking=False):
            return
        own = None
        try:
            # The listener closes the one that it has.
            own = connection.dup()
            threading.Thread(
                target=self._answer, args=(own,), name='metrics-request',
                daemon=True).start()
        except (OSError, RuntimeError) as error:
            # No file or no thread is left; the monitor tries again.
            LOG.debug('A request was not taken: %s', error)
            if own is not None:
                own.close()
            self._places.release()

    def _answer(self, connection: socket.socket) -> None:
        try:
            with connection:
                _Request(connection, self._pages)
        except OSError as error:
            LOG.debug('A monitor went away: %s', error)
        except Exception:
            LOG.exception('A request could not be answered')
        finally:
            self._places.release()


class _Request(server.BaseHTTPRequestHandler):
    """One request; everything happens while it is made."""

    timeout = 2.0
    server_version = 'nova-libvirt'
    sys_version = ''

    def __init__(
            self, connection: socket.socket,
            pages: Mapping[str, Callable[[], Answer]]) -> None:
        self._pages = pages
        # It takes a server only to hand it to those who derive from it.
        super().__init__(
            connection, None, None)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer with the page of the path."""
        page = self._pages.get(self.path.partition('?')[0])
        if page is None:
            self.send_error(404)
            return
        answer = page()
        self.send_response(answer.status)
        self.send_header('Content-Type', answer.content_type)
        self.send_header('Content-Length', str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Log what the library would print."""
        LOG.debug(format, *args)
