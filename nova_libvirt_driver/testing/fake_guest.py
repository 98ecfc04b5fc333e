# SPDX-License-Identifier: Apache-2.0

"""Guests of the fake hypervisor.

Owns what a guest is, for all connections. What can be done with it belongs
to the handles of ``fake_domain``.
"""

import dataclasses
from typing import Any

import libvirt

from nova_libvirt_driver.testing import fake_devices
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_xml

_SHUTOFF_STATES = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED)


@dataclasses.dataclass(slots=True)
class BlockJob:
    """A copy of one disk; a test says how far it is."""

    path: str
    xml: str = ''
    done: int = 0
    total: int = 0
    ready: bool = False


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
    disk_errors: dict[str, int] = dataclasses.field(default_factory=dict)
    """Disks that fail, by target; with one, it is paused when it goes on."""
    id: int = -1
    memory_kib: int = 32 * 1024
    is_coming: bool = False
    """From another host, with its memory."""
    is_going: bool = False
    """To another host, which it does not reach."""
    goes_to: 'list[Guest] | None' = None
    """Guests of the host to which it is migrated."""
    busy: bool = False
    """Its monitor is busy: bulk statistics have its state only."""
    definition: str = ''
    """XML of its next start; a new guest has the least there can be."""
    live: str = ''
    """XML as it was started, without what libvirt adds."""
    persistent: bool = True
    saved: bool = False
    """Its memory is on disk."""
    saved_xml: str = ''
    """XML that its memory goes on with."""
    undefined_with: int = 0
    """Flags with which its definition was removed."""
    left_with: int = 0
    """Flags with which it went to another host."""
    obeys: bool = True
    """It shuts down and reboots when it is asked to."""
    agent: bool = False
    """Its agent has opened the channel and answers."""
    agent_timeout_s: int = -2
    addresses: dict[int, dict[str, Any]] = dataclasses.field(
        default_factory=dict)
    """How long libvirt waits for its agent; -2 is for ever."""
    frozen: bool = False
    passwords: dict[str, str] = dataclasses.field(default_factory=dict)
    """Those that were set through the agent."""
    jobs: dict[str, BlockJob] = dataclasses.field(default_factory=dict)
    """Block jobs by target device."""
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    """Sizes of disks in bytes, as far as they matter."""
    hotplug: fake_devices.Hotplug = dataclasses.field(
        default_factory=fake_devices.Hotplug)
    """How it takes devices, and gives them back."""
    stats: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Statistics in addition to those that the fake makes up."""

    def __post_init__(self) -> None:
        if not self.definition:
            self.definition = fake_xml.minimal(self.name, self.uuid)
        if self.active and not self.live:
            self.live = self.definition

    @property
    def active(self) -> bool:
        """It has a process on a real hypervisor."""
        return self.state not in _SHUTOFF_STATES

    def job_stats(self) -> dict[str, Any]:
        """Return what libvirt says of its job."""
        if not self.active:
            raise fake_fault.invalid('domain is not running')
        if self.is_coming:
            raise fake_fault.libvirt_error(
                libvirt.VIR_ERR_OPERATION_UNSUPPORTED, libvirt.VIR_FROM_QEMU,
                'Operation not supported: migration statistics are available '
                'only on the source host')
        if self.is_going:
            return {
                'type': libvirt.VIR_DOMAIN_JOB_UNBOUNDED,
                'operation': libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT}
        return {'type': libvirt.VIR_DOMAIN_JOB_NONE}

    def leave(self, guests: 'list[Guest]', flags: int) -> int:
        """Go from those of one host to those of another."""
        if self.goes_to is None:
            raise fake_fault.no_support('virDomainMigrateToURI3')
        guests.remove(self)
        self.goes_to.append(self)
        self.left_with = flags
        return 0

    def xml(self, *, inactive: bool = False) -> str:
        """Return its XML as libvirt shows it."""
        if inactive or not self.active:
            return fake_xml.stopped(self.definition)
        text = fake_xml.with_agent_state(
            fake_xml.live(self.live or self.definition, self.id),
            self.agent)
        if self.hotplug.aliases:
            text = fake_devices.named(text)
        for target_dev, job in self.jobs.items():
            if job.ready:
                text = fake_xml.with_mirror(text, target_dev)
        return text


_GROUPS = {
    'vcpu': libvirt.VIR_DOMAIN_STATS_VCPU,
    'balloon': libvirt.VIR_DOMAIN_STATS_BALLOON,
    'block': libvirt.VIR_DOMAIN_STATS_BLOCK,
    'net': libvirt.VIR_DOMAIN_STATS_INTERFACE,
}


def stats(guest: Guest, groups: int) -> dict[str, Any]:
    """Return the statistics of one guest; 0 means all groups."""
    everything = not groups
    values = {'state.state': guest.state, 'state.reason': guest.reason}
    if guest.busy:
        return values
    if everything or groups & libvirt.VIR_DOMAIN_STATS_BALLOON:
        values['balloon.maximum'] = guest.memory_kib
        values['balloon.current'] = guest.memory_kib
        values['balloon.rss'] = guest.memory_kib // 2
    if everything or groups & libvirt.VIR_DOMAIN_STATS_VCPU:
        values['vcpu.current'] = values['vcpu.maximum'] = 1
    values.update(
        (name, value) for name, value in guest.stats.items()
        if everything or groups & _GROUPS.get(name.partition('.')[0], 0))
    return values
