# SPDX-License-Identifier: Apache-2.0

"""Opening a connection, and reporting once when that fails.

Also the native thread on which libvirt delivers its events: a connection
needs it.
"""

from collections.abc import Callable
import functools
import os
import threading

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.calls import calls
from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver.calls import turn as turn_module
from nova_libvirt_driver.connection import announcer as announcer_module
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports

LOG = logging.getLogger(__name__)

EVENT_TYPE = 'compute.libvirt.error'

_LOOP_RETRY_S = 0.1


class Outage:
    """Logs and notifies the first failure, until the next success."""

    def __init__(
            self, notifier: ports.Notifier,
            messenger: announcer_module.Messenger,
            host_ip_addr: Callable[[], str]) -> None:
        self._notifier = notifier
        self._messenger = messenger
        self._host_ip_addr = host_ip_addr
        self._lock = threading.Lock()
        self._reported = False

    def report(self, error: exception.DriverError) -> None:
        """Report a failure, unless this outage was reported already.

        Called while *error* is being handled, whose traceback is logged.
        """
        with self._lock:
            if self._reported:
                LOG.debug('Still no connection to libvirt: %s', error)
                return
            self._reported = True
        LOG.exception('Connection to libvirt failed')
        payload = {'ip': self._host_ip_addr(), 'method': '_connect',
                   'reason': str(error)}
        self._messenger.notify('the notifier', functools.partial(
            self._notifier.error, EVENT_TYPE, payload))

    def over(self) -> None:
        """Take note that the connection works again."""
        with self._lock:
            self._reported = False


class Opener:
    """Opens connections on native threads, within a deadline."""

    def __init__(
            self, settings: settings_module.Settings,
            native_calls: calls.Calls, outage: Outage) -> None:
        self._settings = settings
        self._calls = native_calls
        self._outage = outage

    def open(self, uri: str, *, read_only: bool) -> protocol.Connection:
        """Open a connection whose calls take turns.

        Blocks for ``connect_timeout`` at most. A connection that comes
        later than that is closed again by the thread that made it.

        :raises HypervisorUnavailable: it failed; that was logged, and
            notified when it is the first failure of an outage
        """
        try:
            raw = self.open_raw(uri, read_only=read_only)
        except exception.HypervisorUnavailable as error:
            self._outage.report(error)
            raise
        wrapped: protocol.Connection = turn_module.wrap(raw, turn_module.Turn(
            host=self._settings.host,
            timeout_s=self._settings.call_timeout_s,
            observation=self._calls.observation,
            run=self._calls.without_deadline))
        return wrapped

    def open_raw(
            self, uri: str, *, read_only: bool,
            place_timeout_s: float | None = None) -> protocol.Connection:
        """Open a connection, as libvirt gives it, and report nothing.

        Blocks for ``connect_timeout`` at most, or for *place_timeout_s*
        longer, while other calls have all places.

        :raises HypervisorUnavailable: it failed
        """
        authentication = settings_module.Authentication(
            self._settings.credentials)
        ensure_loop()
        try:
            return self._calls.run(
                lambda: _open_auth(uri, authentication, read_only),
                name=f'opening {uri}', label='opening a connection',
                timeout_s=self._settings.connect_timeout_s, late=_close,
                place_timeout_s=place_timeout_s)
        except exception.HypervisorUnavailable:
            raise
        except (libvirt.libvirtError, exception.DriverError) as error:
            raise errors.cannot_open(
                error, host=self._settings.host, uri=uri,
                refusal=authentication.refusal) from error


def _open_auth(
        uri: str, authentication: settings_module.Authentication,
        read_only: bool) -> protocol.Connection:
    flags = libvirt.VIR_CONNECT_RO if read_only else 0
    connection: protocol.Connection = libvirt.openAuth(
        uri, authentication.as_argument(), flags)
    return connection


def _close(connection: protocol.Connection | None) -> None:
    if connection is not None:
        connection.close()


class _Loop:
    """State of libvirt's event loop, of which a process has one.

    It has to run before a connection is opened: keepalive and the in-process
    QEMU driver depend on it.
    """

    def __init__(self) -> None:
        self.registered = False
        self.pid = 0


_loop = _Loop()
_lock = runtime.original('threading').Lock()


def ensure_loop() -> None:
    """Start libvirt's event loop unless it runs; safe at any time."""
    with _lock:
        if not _loop.registered:
            # Without a handler the library prints every error on stderr, on
            # top of raising it.
            libvirt.registerErrorHandler(calls.remember, None)
            libvirt.virEventRegisterDefaultImpl()
            _loop.registered = True
        if _loop.pid != os.getpid():
            _loop.pid = os.getpid()
            runtime.original('threading').Thread(
                target=_run_loop, name='libvirt-loop', daemon=True).start()


def _run_loop() -> None:
    sleep = runtime.original('time').sleep
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except Exception:
            # The thread must live: without it no event, no keepalive. It
            # cannot log, a log handler may hold a green lock.
            sleep(_LOOP_RETRY_S)
