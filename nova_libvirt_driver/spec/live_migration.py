# SPDX-License-Identifier: Apache-2.0

"""Guests that go to another host while they run."""

from collections.abc import Mapping
import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How guests leave this host while they run."""

    tunnelled: bool = False
    """Memory goes over the connection between the libvirt daemons."""
    native_tls: bool = False
    """Memory and disks are encrypted by QEMU."""
    auto_converge: bool = False
    """A guest that writes faster than its memory is sent is slowed down."""
    post_copy: bool = False
    """A guest may run on the other host before all its memory is there."""
    parallel_connections: int = 1
    bandwidth_mib_s: int = 0
    """0 for no limit."""
    downtime_ms: int = 500
    """How long a guest may stand still at the end, at most."""
    downtime_steps: int = 10
    """In how many steps that is allowed."""
    downtime_delay_s: int = 75
    """Time between two of them, for each GiB to be sent."""
    completion_timeout_s: int = 800
    """How long a migration may take for each GiB to be sent; 0 for ever."""
    force_completion: bool = False
    """After that it is completed by force, and not aborted."""
    report_interval_s: int = 5
    """Time between two looks at the figures."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """The host to which a guest goes."""

    uri: str
    """By which the libvirt daemon of this host reaches the one of that."""
    migrate_uri: str = ''
    """Where QEMU's own connections go; empty for libvirt's choice."""
    disks_uri: str = ''
    """Where the disks go; empty for where the memory goes."""
    instances_path: str = ''
    """Where the folders of instances are there; empty for as here."""
    is_shared: bool = False
    """The folder of the instance is the one that is here; was proved."""
    perf_events: frozenset[str] | None = None
    """What the kernel there can count; None when that is not known."""
    file_backed_memory: bool | None = None
    """Whether guests' memory is in files there; None for as it is here."""
    image_id: str = ''
    """Image that the other host has as well; disks that are based on any
    other are copied whole."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MovedDisk:
    """A disk in the folder of an instance whose bytes come by themselves."""

    name: str
    """Of the file."""
    format: str
    size_bytes: int
    """What the guest sees."""
    base: str = ''
    """Name of the cached image that it is based on; empty for none."""
    content: bytes | None = None
    """All of one that the guest only reads; None for what comes later."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a host keeps the guests that come to it."""

    instances_path: str
    is_shared: bool
    """What the other host has put beside its guests is seen here."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How far a live migration is; sizes in bytes."""

    elapsed_ms: int = 0
    memory_total: int = 0
    memory_processed: int = 0
    memory_remaining: int = 0
    memory_bytes_s: int = 0
    memory_iteration: int = 0
    disk_total: int = 0
    disk_processed: int = 0
    disk_remaining: int = 0
    downtime_ms: int = 0
    is_post_copy: bool = False
    """The guest runs on the other host, and its memory follows."""

    @classmethod
    def read(cls, stats: Mapping[str, object]) -> 'Figures':
        """Return what libvirt's statistics of a job say."""
        def number(name: str) -> int:
            value = stats.get(name)
            return value if isinstance(value, int) else 0

        return cls(
            elapsed_ms=number('time_elapsed'),
            memory_total=number('memory_total'),
            memory_processed=number('memory_processed'),
            memory_remaining=number('memory_remaining'),
            memory_bytes_s=number('memory_bps'),
            memory_iteration=number('memory_iteration'),
            disk_total=number('disk_total'),
            disk_processed=number('disk_processed'),
            disk_remaining=number('disk_remaining'),
            downtime_ms=number('downtime'))

    @property
    def total(self) -> int:
        """All that is to be sent, once."""
        return self.memory_total + self.disk_total

    @property
    def remaining(self) -> int:
        """What is still to be sent."""
        return self.memory_remaining + self.disk_remaining
