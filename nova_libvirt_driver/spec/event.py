# SPDX-License-Identifier: Apache-2.0

"""Events of guests, as plain values without a libvirt object in them."""

import dataclasses
import enum


class Transition(enum.StrEnum):
    """What happened to a guest's power state."""

    STARTED = 'started'
    STOPPED = 'stopped'
    PAUSED = 'paused'
    RESUMED = 'resumed'
    SUSPENDED = 'suspended'
    POSTCOPY_STARTED = 'postcopy-started'
    MIGRATION_COMPLETED = 'migration-completed'
    CRASHED = 'crashed'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GuestEvent:
    """What every event of a guest says."""

    uuid: str
    name: str
    generation: int
    """Number of the connection that reported it."""
    timestamp: float
    """Seconds since the epoch when it arrived from libvirt."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleEvent(GuestEvent):
    """A change of a guest's power state."""

    transition: Transition
    domain_id: int = -1
    """Libvirt's id of the running domain, -1 when it does not run."""
    detail: str = ''
    """Libvirt's word for the reason, for example ``booted``."""
    synthesized: bool = False
    """True when it was missed and inferred after a reconnect."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEvent(GuestEvent):
    """A device left the guest, or failed to leave it."""

    alias: str
    """Libvirt's alias of the device."""
    removed: bool
    """False when the guest refused to release the device."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AgentEvent(GuestEvent):
    """The guest agent's channel connected or disconnected."""

    connected: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BlockJobEvent(GuestEvent):
    """A block job changed its state."""

    target_dev: str
    job_type: str
    status: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IOErrorEvent(GuestEvent):
    """A guest's disk had an input or output error."""

    path: str
    alias: str
    action: str
    """What QEMU did: ``none``, ``pause`` or ``report``."""
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RebootEvent(GuestEvent):
    """The guest rebooted itself."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobCompletedEvent(GuestEvent):
    """A domain job, such as a migration, came to its end."""

    success: bool
    operation: int
    """Libvirt's number of the job's operation."""
    error: str = ''


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MigrationIterationEvent(GuestEvent):
    """A live migration begins to pass over the memory once more."""

    iteration: int
    """Counted from 1."""
