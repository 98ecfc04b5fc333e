# SPDX-License-Identifier: Apache-2.0

"""A thread that accepts connections and hands them over.

A daemon thread, so that it never keeps the process. In an eventlet process
it is a green one: it answers while the hub runs, whatever libvirt does.
"""

from collections.abc import Callable
import selectors
import socket
import threading
import time

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

_PAUSE_S = 0.2

# Whoever has connected may be gone when it is let in.
_ACCEPT_S = 0.1

_TALK_S = 2.0


class Listener:
    """Accepts on one socket.

    :param listening: it is closed when the listener stops
    :param serve: takes each connection, on the listener's thread; it is
        closed when that returns, and reading and writing have a deadline
    :param name: of the thread
    """

    def __init__(
            self, listening: socket.socket,
            serve: Callable[[socket.socket], object], name: str) -> None:
        self._listening = listening
        self._listening.settimeout(_ACCEPT_S)
        # Neither closing nor shutting down the socket wakes a green thread
        # that waits for it.
        self._waker, self._woken = socket.socketpair()
        self._serve = serve
        self._stopped = False
        self._thread = threading.Thread(
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
        """Accept nothing more; waits for *timeout_s* at the most."""
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
                selector.select()
                if not self._stopped:
                    self._accept()

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError as error:
            # Such as too many open files; that may pass.
            LOG.debug('A monitor was not let in: %s', error)
            time.sleep(_PAUSE_S)
            return
        with connection:
            self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(_TALK_S)
        try:
            self._serve(connection)
        except OSError as error:
            LOG.debug('A monitor went away: %s', error)
        except Exception:
            LOG.exception('A monitor could not be answered')
