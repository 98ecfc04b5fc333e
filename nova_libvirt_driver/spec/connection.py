# SPDX-License-Identifier: Apache-2.0

"""How the connection to libvirt is, as a value to show."""

import dataclasses
import enum

from nova_libvirt_driver.spec import event


class ConnectionState(enum.StrEnum):
    """Life of the connection; ``connection.state`` has the transitions."""

    DISCONNECTED = 'disconnected'
    """Nothing was opened yet, or everything was closed on purpose."""
    CONNECTING = 'connecting'
    """One caller is opening a connection; the others wait for it."""
    CONNECTED = 'connected'
    """There is a session, and nothing speaks against it."""
    BROKEN = 'broken'
    """The session was lost, or the last attempt to open one failed."""


class Breaker(enum.StrEnum):
    """What becomes of a call that wants a connection now."""

    CLOSED = 'closed'
    """It gets the session, or waits while one is opened."""
    OPEN = 'open'
    """It is refused at once: attempts fail, or the driver was stopped."""


@dataclasses.dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """A snapshot of the connection; made without asking libvirt."""

    state: ConnectionState
    uri: str
    read_only: bool
    generation: int
    """How many sessions were opened so far; 0 when none was."""
    events: bool
    """Lifecycle events arrive over the session."""
    keepalive: bool
    """Libvirt tests the session by itself."""
    last_error: str
    """Why the last attempt failed or the session was lost, or empty."""
    queued_events: int
    """Events that wait for their listener."""
    running_calls: int
    """Calls that run in threads of their own, hung ones included."""
    abandoned_calls: int
    """Calls of these whose caller has given up waiting."""
    coalesced_events: int = 0
    """Events that were left out because many later ones waited, too."""
    unresponsive: tuple[str, ...] = ()
    """Uuids of guests whose monitor does not answer."""
    in_process: bool = False
    """The hypervisor is in this process: there is no link to lose."""
    call_limit: int = 0
    """How many calls may run in threads of their own; 0 is not known."""
    breaker: Breaker = Breaker.CLOSED
    reconnects: int = 0
    """Sessions that were had after the first one."""
    state_age_s: float = 0.0
    """How long the connection has been in its state."""
    lost_for_s: float | None = None
    """How long ago a session was lost that has not been got back; None
    while there is one, and when there has been none."""
    disk_errors: tuple[event.IOErrorEvent, ...] = ()
    """The last error of each guest whose disks had any."""
