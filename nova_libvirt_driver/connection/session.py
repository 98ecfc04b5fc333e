# SPDX-License-Identifier: Apache-2.0

"""One live connection to libvirt, with everything that hangs on it.

What stands here runs on a native thread, with a deadline that others keep:
it neither logs nor waits for anything but libvirt.
"""

from collections.abc import Callable
import dataclasses
import threading
from typing import Any

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.calls import calls as calls_module
from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.calls import runtime as runtime_module
from nova_libvirt_driver.calls import turn as turn_module
from nova_libvirt_driver.calls import worker
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import inbox as inbox_module
from nova_libvirt_driver.events import subscription
from nova_libvirt_driver import exception

LOG = logging.getLogger(__name__)

# How long to wait for the turn to close a session, and when to look again
# whether a call has left it.
_TURN_S, _INSIDE_S = 0.5, 0.5


@dataclasses.dataclass(eq=False, slots=True)
class Session:
    """A connection and the generation number that tells it from others."""

    connection: protocol.Connection
    """What callers get; its calls take turns."""
    raw: protocol.Connection
    """The same without turns, for native threads."""
    turn: turn_module.Turn
    generation: int
    callback_ids: list[int] = dataclasses.field(default_factory=list)
    subscribed: set[str] = dataclasses.field(default_factory=set)
    """Libvirt's names of the kinds of events that arrive."""
    has_close_callback: bool = False
    keepalive: bool = False
    problems: list[Exception] = dataclasses.field(default_factory=list)
    """What could not be set up; the session is usable all the same."""

    @property
    def events(self) -> bool:
        """Lifecycle events arrive."""
        return bool(self.callback_ids)

    @property
    def closed(self) -> bool:
        """Libvirt has said that the link is gone."""
        return self.turn.closed

    @property
    def vouched_for(self) -> bool:
        """Libvirt itself watches the link and says when it breaks."""
        return (self.keepalive and self.has_close_callback
                and not self.closed)

    def set_up(
            self, settings: settings_module.Settings,
            subscriptions: subscription.Subscriptions) -> None:
        """Set keepalive, register the callbacks and list the guests.

        What the hypervisor does not support is left out. Events of the
        session wait in the inbox behind the listing.

        :raises libvirt.libvirtError: the link broke meanwhile
        """
        # First, because from here on a daemon that hangs is noticed.
        self._set_keepalive(settings)
        self._register_close_callback(subscriptions.inbox)
        self._subscribe(subscriptions)
        subscriptions.inbox.put(
            inbox_module.Listed(self.generation, self._list()))

    def close(self) -> None:
        """Deregister everything and close the connection.

        A callback that stayed registered would keep the connection, its
        sockets and its memory for the life of the process.
        """
        for callback_id in self.callback_ids:
            _quietly(self.raw.domainEventDeregisterAny, callback_id)
        if self.has_close_callback:
            _quietly(self.raw.unregisterCloseCallback)
        _quietly(self.raw.close)

    def _set_keepalive(self, settings: settings_module.Settings) -> None:
        try:
            # 0: set; 1: the daemon does not answer keepalive messages.
            self.keepalive = self.raw.setKeepAlive(
                settings.keepalive_interval_s,
                settings.keepalive_count) == 0
        except libvirt.libvirtError as error:
            _raise_if_broken(error)
            # No link that could break: the hypervisor is in this process.
            self.turn.needed = not errors.is_unsupported(error)

    def _register_close_callback(self, inbox: inbox_module.Inbox) -> None:
        turn, generation = self.turn, self.generation

        def closed(connection: object, reason: int, opaque: object) -> None:
            # May run on a thread that is inside a call of ours.
            turn.closed = True
            inbox.put(inbox_module.Closed(generation, reason))

        try:
            self.raw.registerCloseCallback(closed, None)
            self.has_close_callback = True
        except libvirt.libvirtError as error:
            _raise_if_broken(error)
            self.problems.append(error)

    def _subscribe(self, subscriptions: subscription.Subscriptions) -> None:
        for wanted in subscriptions.all():
            try:
                self.callback_ids.append(self.raw.domainEventRegisterAny(
                    None, wanted.event_id, wanted.callback,
                    self.generation))
                self.subscribed.add(wanted.name)
            except libvirt.libvirtError as error:
                _raise_if_broken(error)
                self.problems.append(subscription.Missing(
                    wanted.name, error))
                if not self.callback_ids:
                    # Lifecycle events come first; without them no others.
                    return

    def _list(self) -> list[decode.Report] | None:
        if not self.events:
            return None
        try:
            return decode.reports(self.raw)
        except libvirt.libvirtError as error:
            _raise_if_broken(error)
            self.problems.append(error)
        except (TypeError, ValueError) as error:
            self.problems.append(error)
        return None


def _raise_if_broken(error: libvirt.libvirtError) -> None:
    if errors.is_broken_link(error):
        raise error


def _quietly(function: Callable[..., Any], *args: object) -> None:
    try:
        function(*args)
    except libvirt.libvirtError:
        # Expected of a dead connection; it lets go of its callbacks all
        # the same.
        return


def works(connection: protocol.Connection, *, host: str) -> bool:
    """Say whether the connection still works; asks for libvirt's version.

    :raises DriverError: libvirt answered with an error that does not say
        that the link is broken
    """
    try:
        connection.getLibVersion()
    except libvirt.libvirtError as error:
        if errors.is_broken_link(error):
            return False
        raise errors.translate(
            error, host=host, tried='test the connection') from error
    return True


class Retired:
    """Holds sessions that are not to be used any more, and closes them."""

    def __init__(
            self, calls: calls_module.Calls,
            runtime: runtime_module.Runtime = runtime_module.PROCESS, *,
            timeout_s: float) -> None:
        self._calls = calls
        self._runtime = runtime
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._sessions: list[Session] = []
        self.start()

    def start(self) -> None:
        """Work again after :meth:`stop`."""
        self._closer = worker.Worker('libvirt-closer', self._runtime)

    def stop(self, timeout_s: float) -> None:
        """End when all are closed; waits for *timeout_s* at most."""
        self._closer.finish(timeout_s)

    def retire(self, session: Session) -> None:
        """Take a session and have it closed; never blocks."""
        self.add(session)
        if self._closer.submit(self._close_all).cancelled():
            # The driver was stopped meanwhile.
            self.close()

    def _close_all(self) -> None:
        if not self.close():
            self._closer.later(_INSIDE_S, self._close_all)

    def add(self, session: Session) -> None:
        """Take a session, which lets no caller in any more; never blocks."""
        # Closing may outlive its deadline, and with it the turn it holds.
        session.turn.closed = True
        with self._lock:
            self._sessions.append(session)

    def close(self) -> bool:
        """Close what can be closed; say whether that was everything."""
        with self._lock:
            waiting, self._sessions = self._sessions, []
        left = [one for one in waiting if not self._close(one)]
        with self._lock:
            self._sessions.extend(left)
            return not self._sessions

    def _close(self, session: Session) -> bool:
        with session.turn.last(_TURN_S) as is_taken:
            if not is_taken:
                return False
            try:
                self._calls.run(session.close, name='closing a connection',
                                timeout_s=self._timeout_s)
            except exception.CallBudgetExhausted:
                return False
            except exception.DriverError as error:
                # The thread that closes it goes on until it has.
                LOG.debug('An old connection is not closed yet: %s', error)
            return True
