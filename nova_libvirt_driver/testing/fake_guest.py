# SPDX-License-Identifier: Apache-2.0

"""Guests of the fake hypervisor, and the handles on them.

Owns what a guest is and how it changes state. The link over which a handle
reaches it belongs to the fake connection.
"""

import dataclasses
from typing import Any
from typing import Protocol

import libvirt

from nova_libvirt_driver.testing import fake_fault

_SHUTOFF_STATES = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED)


@dataclasses.dataclass(eq=False, slots=True)
class Guest:
    """What all connections see of one guest.

    A test may change the fields; that sends no event, like a change while
    nobody was connected.
    """

    name: str
    uuid: str
    state: int
    reason: int = 0
    id: int = -1
    memory_kib: int = 32 * 1024
    busy: bool = False
    """Its monitor is busy: bulk statistics have its state only."""

    @property
    def active(self) -> bool:
        """It has a process on a real hypervisor."""
        return self.state not in _SHUTOFF_STATES


class Hypervisor(Protocol):
    """What a handle needs of the hypervisor."""

    guests: list[Guest]

    def new_id(self) -> int: ...

    def emit(self, event_id: int, guest: Guest, *args: object) -> None: ...


class Link(Protocol):
    """What a handle needs of the connection."""

    @property
    def hypervisor(self) -> Hypervisor: ...

    def enter(
        self, method: str, c_name: str, *, write: bool = False) -> None: ...


class FakeDomain:
    """Stand in for ``libvirt.virDomain``; a handle on a guest."""

    def __init__(self, link: Link, guest: Guest) -> None:
        self.guest = guest
        self._link = link
        # A handle keeps the id of the time when it was made.
        self._id = guest.id

    def name(self) -> str:
        """Known to the handle."""
        return self.guest.name

    def UUIDString(self) -> str:
        """Known to the handle."""
        return self.guest.uuid

    def ID(self) -> int:
        """Known to the handle; -1 for a guest that did not run."""
        return self._id

    def state(self, flags: int = 0) -> list[int]:
        """State and reason."""
        self._enter('state', 'virDomainGetState')
        return [self.guest.state, self.guest.reason]

    def info(self) -> list[int]:
        """State, maximal and current memory in KiB, CPUs, CPU time."""
        self._enter('info', 'virDomainGetInfo')
        guest = self.guest
        return [guest.state, guest.memory_kib, guest.memory_kib, 1, 0]

    def isActive(self) -> int:
        """1 when it runs, paused or not."""
        self._enter('isActive', 'virDomainIsActive')
        return int(self.guest.active)

    def create(self) -> int:
        """Start it."""
        self._enter('create', 'virDomainCreate', write=True)
        if self.guest.active:
            raise fake_fault.invalid('domain is already running')
        self._id = self.guest.id = self._link.hypervisor.new_id()
        return self._become(libvirt.VIR_DOMAIN_RUNNING,
                            libvirt.VIR_DOMAIN_RUNNING_BOOTED,
                            libvirt.VIR_DOMAIN_EVENT_STARTED)

    def destroy(self) -> int:
        """Stop it at once."""
        self._enter('destroy', 'virDomainDestroy', write=True)
        self._require_active()
        self._id = self.guest.id = -1
        return self._become(libvirt.VIR_DOMAIN_SHUTOFF,
                            libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED,
                            libvirt.VIR_DOMAIN_EVENT_STOPPED,
                            libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED)

    def suspend(self) -> int:
        """Pause it."""
        self._enter('suspend', 'virDomainSuspend', write=True)
        self._require_active()
        return self._become(libvirt.VIR_DOMAIN_PAUSED,
                            libvirt.VIR_DOMAIN_PAUSED_USER,
                            libvirt.VIR_DOMAIN_EVENT_SUSPENDED)

    def resume(self) -> int:
        """Let a paused guest run."""
        self._enter('resume', 'virDomainResume', write=True)
        self._require_active()
        return self._become(libvirt.VIR_DOMAIN_RUNNING,
                            libvirt.VIR_DOMAIN_RUNNING_UNPAUSED,
                            libvirt.VIR_DOMAIN_EVENT_RESUMED)

    def _enter(
        self, method: str, c_name: str, *, write: bool = False
    ) -> None:
        self._link.enter(method, c_name, write=write)
        if self.guest not in self._link.hypervisor.guests:
            raise fake_fault.libvirt_error(
                libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_FROM_QEMU,
                'Domain not found: no domain with matching uuid '
                f"'{self.guest.uuid}' ({self.guest.name})")

    def _require_active(self) -> None:
        if not self.guest.active:
            raise fake_fault.invalid('domain is not running')

    def _become(
        self, state: int, reason: int, event: int, detail: int = 0
    ) -> int:
        self.guest.state, self.guest.reason = state, reason
        self._link.hypervisor.emit(
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self.guest, event, detail)
        return 0


def stats(guest: Guest, groups: int) -> dict[str, Any]:
    """Return the statistics of one guest; 0 means all groups."""
    everything = not groups
    values = {'state.state': guest.state, 'state.reason': guest.reason}
    if guest.busy:
        return values
    if everything or groups & libvirt.VIR_DOMAIN_STATS_BALLOON:
        values['balloon.maximum'] = guest.memory_kib
        values['balloon.current'] = guest.memory_kib
    if everything or groups & libvirt.VIR_DOMAIN_STATS_VCPU:
        values['vcpu.current'] = values['vcpu.maximum'] = 1
    return values
