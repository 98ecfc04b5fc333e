# SPDX-License-Identifier: Apache-2.0

"""Who uses the session, and what happens when it breaks.

There is one session at a time; ``attempts`` makes it. Libvirt is never
called while a lock is held.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import functools
from typing import TypeVar

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.calls import calls as calls_module
from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.connection import attempts as attempts_module
from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver import exception

LOG = logging.getLogger(__name__)

T = TypeVar('T')


class Supervisor:
    """Keeps the session.

    :ivar current: the session, and the state of the connection
    :ivar attempts: how there is a session
    """

    def __init__(
            self, driver: attempts_module.Driver,
            settings: settings_module.Settings, calls: calls_module.Calls,
            attempts: attempts_module.Attempts) -> None:
        self.attempts = attempts
        self.current = attempts.current
        self._driver = driver
        self._settings = settings
        self._calls = calls

    # What callers use.

    def connection(self) -> protocol.Connection:
        """Return a usable connection.

        Blocks while one is opened and set up, each for ``connect_timeout``
        at most. Once it is got back in the background, callers wait a
        second for the first attempt, and not at all after it has failed.

        :raises HypervisorUnavailable: there is none
        :raises DriverError: the test of the connection failed in a way
            that says nothing about it; it was dropped
        """
        session = self.current.session
        if session is not None and self._works(session):
            return session.connection
        return self.attempts.connection()

    def look(
            self, tried: str, function: Callable[[protocol.Connection], T],
            *, instance: str = '') -> T:
        """Return what *function* makes of the connection.

        For calls that enter no guest's monitor. Those who look take turns;
        each waits for its turn, and for its answer, ``look_timeout`` at the
        most.

        :param tried: what it is for, as in "list the guests"
        :param function: runs on a native thread, and must not log
        :param instance: uuid or name of the guest it is about, if any
        :raises CallTimeout: one of the deadlines passed
        :raises DriverError: libvirt's error as one of ours
        """
        timeout_s = self._settings.look_timeout_s
        with (self.using_session(tried, instance=instance) as session,
              session.turn.taken(tried, timeout_s=timeout_s) as tracked):
            found: T = self._calls.run(
                functools.partial(tracked(function), session.raw),
                name=f'the call to {tried}', timeout_s=timeout_s)
            return found

    @contextlib.contextmanager
    def using_session(
            self, tried: str, *,
            instance: str = '') -> Iterator[session_module.Session]:
        """Lend the session, for calls that need a connection of their own.

        :param tried: what the calls are for, as in "list the guests"
        :param instance: uuid or name of the guest they are about, if any
        """
        connection = self.connection()
        session = self.current.session
        if session is None:
            raise self.attempts.unavailable('the connection was lost just now')
        with self._translated(tried, connection, instance):
            yield session

    @contextlib.contextmanager
    def _translated(
            self, tried: str, connection: protocol.Connection,
            instance: str) -> Iterator[None]:
        try:
            yield
        except libvirt.libvirtError as error:
            if errors.is_broken_link(error):
                session = self.current.session
                if session is not None and (
                        session.connection is connection):
                    self.attempts.lose(session, errors.text(error))
            raise errors.translate(
                error, host=self._settings.host, tried=tried,
                instance=instance) from error

    def _works(self, session: session_module.Session) -> bool:
        if session.vouched_for:
            return True
        try:
            works = not session.closed and self._driver._test_connection(
                session.connection)
        except Exception as error:
            self.attempts.lose(session, str(error))
            if isinstance(error, libvirt.libvirtError):
                raise errors.translate(
                    error, host=self._settings.host,
                    tried='test the connection') from error
            raise
        if not works:
            self.attempts.replace(session, 'a test of it failed')
        return works

    @property
    def session(self) -> session_module.Session | None:
        """The session, if there is one; it may be broken already."""
        return self.current.session

    @property
    def generation(self) -> int:
        """How many sessions there have been."""
        return self.current.generation

    # What the service uses.

    def start(self) -> None:
        """Connect, and from now on stay connected.

        Waits for the first attempt and returns also when it fails: further
        ones are made in the background.
        """
        self.attempts.start()
        with contextlib.suppress(exception.DriverError):
            self.connection()
        if self.current.session is None:
            LOG.warning('Not connected to libvirt yet, will retry until it '
                        'answers')
