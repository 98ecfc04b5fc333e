# SPDX-License-Identifier: Apache-2.0

"""What is said about one instance: who it is and how it is."""

import dataclasses
import enum
import re
import typing


_UUID = re.compile(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')

STOPPED_BY_STORAGE = 'paused by an I/O error'
"""How a guest is that QEMU has paused."""


def is_uuid(text: str) -> bool:
    """Say whether a text is a uuid in its canonical form."""
    return _UUID.fullmatch(text) is not None


class PowerState(enum.IntEnum):
    """Power state of a guest; the numbers are those of Nova's contract."""

    NOSTATE = 0
    """Not known, for example because libvirt cannot be asked."""
    RUNNING = 1
    """Running, or blocked on a resource while running."""
    PAUSED = 3
    """Its CPUs are stopped, its memory is kept."""
    SHUTDOWN = 4
    """Not running."""
    CRASHED = 6
    """Stopped because the guest or its emulator failed."""
    SUSPENDED = 7
    """Suspended by its own power management."""


class Instance(typing.Protocol):
    """What every verb needs to find a guest; Nova's Instance fits too."""

    @property
    def uuid(self) -> str:
        """Canonical text form of the domain's uuid."""

    @property
    def name(self) -> str:
        """Name of the domain."""


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceRef:
    """The smallest :class:`Instance`."""

    uuid: str
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceInfo:
    """Answer of ``get_info``."""

    state: PowerState


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceSummary:
    """One row of a listing of guests."""

    uuid: str
    name: str
    state: PowerState
    vcpus: int | None = None
    """Virtual CPUs, None when libvirt did not say."""
    memory_mib: int | None = None
    """Memory in MiB, None when libvirt did not say."""
    owned: bool = True
    """It is ours; what is not is never touched."""
    other_folder: str = ''
    """Where another service has the instances that it is one of."""
    reason: str = ''
    """Libvirt's word for why it does not run, such as ``shutdown`` or
    ``crashed``; empty when that is not known."""
    display_name: str = ''
    """Name that its user gave it, empty when it has none."""
    saved: bool = False
    """Its memory is on disk, for its next start."""

    rescued: bool = False
    """It was started from another image, with its own disk beside it."""

    stopped_by_storage: bool = False
    """It is paused because a disk of it fails, or has no room."""

    @property
    def status(self) -> str:
        """How it is, in a word for people."""
        if self.stopped_by_storage:
            return STOPPED_BY_STORAGE
        if self.saved and self.state is PowerState.SHUTDOWN:
            return 'suspended'
        if self.rescued and self.state is PowerState.RUNNING:
            return 'rescued'
        return self.state.name.lower()
