# SPDX-License-Identifier: Apache-2.0

"""One live connection to libvirt, with everything that hangs on it.

What stands here runs on a native thread, with a deadline that others keep:
it neither logs nor waits for anything but libvirt.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

import libvirt

from nova_libvirt_driver.connection import decode
from nova_libvirt_driver.connection import errors
from nova_libvirt_driver.connection import inbox as inbox_module
from nova_libvirt_driver.connection import listing
from nova_libvirt_driver.connection import protocol
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver.connection import subscription
from nova_libvirt_driver.connection import turn as turn_module

_REASONS = {
    libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: 'an I/O error',
    libvirt.VIR_CONNECT_CLOSE_REASON_EOF: 'the daemon closed it',
    libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: 'keepalive got no answer',
    libvirt.VIR_CONNECT_CLOSE_REASON_CLIENT: 'this client closed it',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Closed:
    """Libvirt says that a session is gone."""

    generation: int
    reason: int

    @property
    def words(self) -> str:
        """The reason, for people."""
        return _REASONS.get(self.reason, f'reason {self.reason}')


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """All guests of a new session, or None when they cannot be listed."""

    generation: int
    reports: list[decode.Report] | None


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
        subscriptions.inbox.put(Listed(self.generation, self._list()))

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
            inbox.put(Closed(generation, reason))

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
            return listing.reports(self.raw)
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
