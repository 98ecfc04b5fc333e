# SPDX-License-Identifier: Apache-2.0

"""Answers HTTP requests of monitors: ``/metrics`` and ``/health``.

Anybody who reaches the port is answered, so by default it is on the loopback
address. One thread answers all, see ``listener``.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from http import HTTPStatus
from http import server
import io
import re
import socket

from oslo_log import log as logging

from nova_libvirt_driver.monitoring import listener as listener_module

LOG = logging.getLogger(__name__)

_BACKLOG = 256
_MAX_HEAD_BYTES = 16384
_HEAD_END = re.compile(rb'\r?\n\r?\n')
_STOP_S = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What one request is answered with."""

    status: int
    content_type: str
    body: bytes


class Endpoint:
    """Serves one port.

    :param pages: makes the answer for each path; asks nothing that may hang
    """

    def __init__(
            self, address: str, port: int,
            pages: Mapping[str, Callable[[], Answer]]) -> None:
        self._address = address
        self._port = port
        self._pages = pages
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
            listening, self._answer, 'metrics')
        listener.start()
        self._listener, self.port = listener, port

    def stop(self) -> None:
        """Answer no longer; takes at most a second."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self.port = 0
            listener.stop(_STOP_S)

    def _answer(self, sent: bytes) -> bytes | None:
        """Return the response as soon as the head of a request is there."""
        # Some clients begin with an empty line.
        head = sent.lstrip(b'\r\n')
        if _HEAD_END.search(head):
            return _Request(head, self._pages).response()
        return _TOO_LONG if len(sent) > _MAX_HEAD_BYTES else None


class _Request(server.BaseHTTPRequestHandler):
    """One request, which is there already; it is answered when made."""

    server_version = 'nova-libvirt'
    sys_version = ''

    def __init__(
            self, sent: bytes,
            pages: Mapping[str, Callable[[], Answer]]) -> None:
        self._pages = pages
        self._sent = sent
        self._response = io.BytesIO()
        # It takes a connection and a server only to hand them to those who
        # derive from it.
        super().__init__(
            None, ('', 0), None)  # type: ignore[arg-type]

    def setup(self) -> None:
        """Take the bytes of the request for those of a connection."""
        self.rfile = io.BufferedReader(io.BytesIO(self._sent))
        self.wfile = self._response

    def finish(self) -> None:
        """Close nothing: there is no connection."""

    def response(self) -> bytes:
        """Return all that is to be sent."""
        return self._response.getvalue()

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


_TOO_LONG = (
    f'HTTP/1.0 {HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE.value} '
    f'{HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE.phrase}\r\n'
    'Connection: close\r\n\r\n').encode()
