# SPDX-License-Identifier: Apache-2.0

"""Connections of their own for calls that may take long.

Callers take turns on the connection of the session, so a call that enters
a guest's monitor, and may hang there, must not be made on it. It gets a
connection nobody else is inside; that is kept for the next such call.
"""

from collections.abc import Callable
import functools
import threading
from typing import TypeVar

import libvirt

from nova_libvirt_driver.connection import calls as calls_module
from nova_libvirt_driver.connection import errors
from nova_libvirt_driver.connection import protocol
from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver import exception

T = TypeVar('T')

_IDLE_MAX = 8

# Nobody waits for longer than this; the thread that closes goes on.
_CLOSE_S = 0.2


class Channels:
    """Lends such connections.

    :param open_raw: opens one; raises HypervisorUnavailable
    """

    def __init__(
            self, open_raw: Callable[[], protocol.Connection],
            calls: calls_module.Calls,
            settings: settings_module.Settings) -> None:
        self._open_raw = open_raw
        self._calls = calls
        self._settings = settings
        self._lock = threading.Lock()
        self._idle: list[protocol.Connection] = []
        self._generation = 0

    def run(
            self, session: session_module.Session,
            function: Callable[[protocol.Connection], T], *,
            name: str, timeout_s: float | None = None,
            late: Callable[[], object] = lambda: None) -> T:
        """Return what *function* makes of a connection nobody else is in.

        Blocks for *timeout_s* at the most, and before that for
        ``connect_timeout`` when a connection has to be opened. One whose
        call takes longer is closed when the call ends.

        :param function: runs on a native thread, and must not log
        :param timeout_s: default is ``call_timeout``
        :param late: called when the call ends after its deadline; on the
            native thread, where it must not log
        :raises CallTimeout: the deadline passed
        :raises libvirt.libvirtError: as it comes
        """
        if timeout_s is None:
            timeout_s = self._settings.call_timeout_s
        if not session.turn.needed:
            # In this process; another connection may see other guests.
            return self._calls.run(
                lambda: function(session.raw), name=name,
                timeout_s=timeout_s, late=lambda nothing: late())
        channel = self._take(session.generation) or self._open()

        def dispose(nothing: object) -> None:
            late()
            _close(channel)

        try:
            result = self._calls.run(
                lambda: function(channel), name=name, timeout_s=timeout_s,
                late=dispose)
        except exception.CallTimeout:
            # Closed when the call ends, and not before.
            raise
        except Exception as error:
            if _is_unharmed(error):
                self._give_back(channel, session.generation)
            else:
                self._discard([channel])
            raise
        self._give_back(channel, session.generation)
        return result

    def close(self) -> None:
        """Close the connections; those in use when they are given back."""
        with self._lock:
            self._generation = 0
            idle, self._idle = self._idle, []
        self._discard(idle)

    def _open(self) -> protocol.Connection:
        channel = self._open_raw()

        def keep_alive() -> None:
            channel.setKeepAlive(self._settings.keepalive_interval_s,
                                 self._settings.keepalive_count)

        try:
            self._calls.run(
                keep_alive, name='setting keepalive',
                timeout_s=self._settings.connect_timeout_s,
                late=lambda nothing: _close(channel))
        except exception.CallTimeout:
            raise
        except Exception:
            self._discard([channel])
            raise
        return channel

    def _take(self, generation: int) -> protocol.Connection | None:
        outdated: list[protocol.Connection] = []
        channel = None
        with self._lock:
            if generation > self._generation:
                # The daemon they lead to has gone since.
                self._generation = generation
                outdated, self._idle = self._idle, []
            elif generation == self._generation and self._idle:
                channel = self._idle.pop()
        self._discard(outdated)
        return channel

    def _give_back(
            self, channel: protocol.Connection, generation: int) -> None:
        with self._lock:
            if generation == self._generation and (
                    len(self._idle) < _IDLE_MAX):
                self._idle.append(channel)
                return
        self._discard([channel])

    def _discard(self, channels: list[protocol.Connection]) -> None:
        for channel in channels:
            try:
                self._calls.run(
                    functools.partial(_close, channel),
                    name='closing a connection', timeout_s=_CLOSE_S)
            except exception.DriverError:
                # The binding closes it when nobody refers to it.
                continue


def _is_unharmed(error: Exception) -> bool:
    """Say whether the connection can be used again after an error."""
    if isinstance(error, libvirt.libvirtError):
        return not errors.is_broken_link(error)
    # Ours comes from before the call, or from what was made of its answer.
    return (isinstance(error, exception.DriverError)
            and not isinstance(error, exception.HypervisorUnavailable))


def _close(channel: protocol.Connection) -> None:
    try:
        channel.close()
    except libvirt.libvirtError:
        # It was broken already.
        return
