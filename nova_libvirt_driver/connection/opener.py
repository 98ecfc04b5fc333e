# SPDX-License-Identifier: Apache-2.0

"""Opening a connection, and telling once when that fails."""

from collections.abc import Callable
import functools
import threading

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.connection import auth
from nova_libvirt_driver.connection import calls
from nova_libvirt_driver.connection import errors
from nova_libvirt_driver.connection import herald as herald_module
from nova_libvirt_driver.connection import loop
from nova_libvirt_driver.connection import protocol
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver.connection import turn as turn_module
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports

LOG = logging.getLogger(__name__)

EVENT_TYPE = 'compute.libvirt.error'


class Outage:
    """Logs and notifies the first failure, until the next success."""

    def __init__(
            self, notifier: ports.Notifier, herald: herald_module.Herald,
            host_ip_addr: Callable[[], str]) -> None:
        self._notifier = notifier
        self._herald = herald
        self._host_ip_addr = host_ip_addr
        self._lock = threading.Lock()
        self._reported = False

    def report(self, error: exception.DriverError) -> None:
        """Tell of a failure, unless this outage was told of already.

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
        self._herald.tell('the notifier', functools.partial(
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

        Blocks for ``connect_timeout`` at the most. A connection that comes
        later than that is closed again by the thread that made it.

        :raises HypervisorUnavailable: it failed; that was logged, and
            notified when it is the first failure of an outage
        """
        try:
            raw = self.open_raw(uri, read_only=read_only)
        except exception.HypervisorUnavailable as error:
            self._outage.report(error)
            raise
        turn = turn_module.Turn(host=self._settings.host,
                                timeout_s=self._settings.call_timeout_s,
                                observation=self._calls.observation)
        wrapped: protocol.Connection = self._calls.wrap(raw, turn)
        return wrapped

    def open_raw(
            self, uri: str, *, read_only: bool) -> protocol.Connection:
        """Open a connection, as libvirt gives it, and tell nobody.

        :raises HypervisorUnavailable: it failed
        """
        authentication = auth.Authentication(self._settings.credentials)
        loop.ensure_running()
        try:
            return self._calls.run(
                lambda: _open_auth(uri, authentication, read_only),
                name=f'opening {uri}', label='opening a connection',
                timeout_s=self._settings.connect_timeout_s, late=_close)
        except exception.HypervisorUnavailable:
            raise
        except (libvirt.libvirtError, exception.DriverError) as error:
            raise errors.cannot_open(
                error, host=self._settings.host, uri=uri,
                refusal=authentication.refusal) from error


def _open_auth(
        uri: str, authentication: auth.Authentication,
        read_only: bool) -> protocol.Connection:
    flags = libvirt.VIR_CONNECT_RO if read_only else 0
    connection: protocol.Connection = libvirt.openAuth(
        uri, authentication.as_argument(), flags)
    return connection


def _close(connection: protocol.Connection | None) -> None:
    if connection is not None:
        connection.close()
