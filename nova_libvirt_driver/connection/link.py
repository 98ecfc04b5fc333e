# SPDX-License-Identifier: Apache-2.0

"""The way to libvirt for whatever may take its time or hang.

Whatever enters a guest's monitor may hang there, so no call is made on the
connection that everybody shares.
"""

from collections.abc import Callable
import dataclasses
from typing import TypeVar

from oslo_log import log as logging

from nova_libvirt_driver.connection import channels as channels_module
from nova_libvirt_driver.connection import protocol
from nova_libvirt_driver.connection import quarantine as quarantine_module
from nova_libvirt_driver.connection import supervisor as supervisor_module
from nova_libvirt_driver import exception

LOG = logging.getLogger(__name__)

T = TypeVar('T')


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """What every way to a guest goes over."""

    supervisor: supervisor_module.Supervisor
    channels: channels_module.Channels
    quarantine: quarantine_module.Quarantine
    host: str
    look_timeout_s: float

    def call(
            self, tried: str, function: Callable[[protocol.Connection], T],
            *, instance: str = '', timeout_s: float | None = None) -> T:
        """Return what *function* makes of a connection of its own.

        :param tried: what it is for, as in "list the guests"
        :param function: runs on a native thread, and must not log
        :param timeout_s: default is ``call_timeout``
        :raises CallTimeout: the deadline passed; the call may go on
        :raises DriverError: libvirt's error as one of ours
        """
        with self.supervisor.using_session(
                tried, instance=instance) as session:
            return self.channels.run(
                session, function, name=f'the call to {tried}',
                timeout_s=timeout_s)

    def enter(
            self, tried: str, function: Callable[[protocol.Connection], T],
            visit: quarantine_module.Visit, *, instance: str = '',
            timeout_s: float | None = None) -> T:
        """Like :meth:`call`, and say whether a guest is to blame.

        :param visit: begins and ends with *function*; whoever is in
            quarantine because of it is let out then
        :param instance: the guest; empty when it may be any
        :raises GuestUnresponsive: *function* hangs, and the connection works
        :raises CallTimeout: the connection is to blame
        """
        def inside(connection: protocol.Connection) -> T:
            visit.begun = True
            return function(connection)

        with self.supervisor.using_session(
                tried, instance=instance) as session:
            try:
                return self.channels.run(
                    session, inside, name=f'the call to {tried}',
                    timeout_s=timeout_s,
                    late=lambda: self.quarantine.end(visit))
            except exception.CallTimeout as error:
                # It may have been the opening of a connection that took so
                # long; nothing would ever end that visit.
                if not visit.begun or session.closed or (
                        self.supervisor.session is not session):
                    raise
                raise exception.GuestUnresponsive(
                    tried=tried, instance=instance, reason='no answer within '
                    f'{error.fields["timeout_s"]:g} s') from error

    def visit(
            self, tried: str, function: Callable[[protocol.Connection], T],
            *, instance: str) -> T:
        """Return what *function* makes of a connection of its own.

        For a call that enters the monitor of a guest and comes back soon.
        When it does not, the guest is in quarantine until it does.

        :raises GuestUnresponsive: it does not, or was in quarantine
        :raises DriverError: libvirt's error as one of ours
        """
        self.quarantine.check(instance, tried)
        visit = quarantine_module.Visit()
        try:
            return self.enter(tried, function, visit, instance=instance)
        except exception.GuestBusy:
            raise
        except exception.GuestUnresponsive as error:
            self.quarantine.add(instance, tried, visit)
            LOG.warning('Calls that need the monitor of guest %s are refused '
                        'until it answers: %s', instance, error)
            raise
