# SPDX-License-Identifier: Apache-2.0

"""Virtual CPUs: model, topology, placement."""

import dataclasses
import enum


class CpuMode(enum.StrEnum):
    """How the guest's CPU relates to the host's."""

    NONE = 'none'
    """Say nothing; the hypervisor chooses."""
    HOST_MODEL = 'host-model'
    HOST_PASSTHROUGH = 'host-passthrough'
    CUSTOM = 'custom'
    MAXIMUM = 'maximum'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CpuFlag:
    """A CPU feature to require or to disable."""

    name: str
    enabled: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CpuTopology:
    """Sockets, cores and threads as the guest sees them."""

    sockets: int = 1
    cores: int = 1
    threads: int = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VcpuPin:
    """One virtual CPU and the host CPUs it may run on."""

    vcpu: int
    host_cpus: frozenset[int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NumaCell:
    """One NUMA cell of the guest."""

    id: int
    vcpus: frozenset[int]
    memory_mib: int
    host_node: int | None = None
    """Host node its memory comes from, None for anyone's."""
    page_size_kib: int | None = None
    """Size of its huge pages, None for pages of the usual size."""
    shared_memory: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CpuTune:
    """Shares of CPU time; None leaves libvirt's default."""

    shares: int | None = None
    period_us: int | None = None
    quota_us: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MaxAddress:
    """How wide the guest's addresses of memory are."""

    mode: str
    """``emulate`` or ``passthrough``."""
    bits: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CpuSpec:
    """Virtual CPUs of one guest."""

    vcpus: int
    mode: CpuMode | None = None
    """None takes the host's policy."""
    model: str = ''
    """Model for the mode custom, for example ``Nehalem``."""
    flags: tuple[CpuFlag, ...] = ()
    """In addition to those of the host's policy."""
    needed_flags: frozenset[str] = frozenset()
    """By these a model is chosen from those of the host's policy."""
    topology: CpuTopology | None = None
    """None makes one socket of each virtual CPU."""
    cells: tuple[NumaCell, ...] = ()
    host_cpus: frozenset[int] = frozenset()
    """Host CPUs of all that is not pinned otherwise; empty for any."""
    pins: tuple[VcpuPin, ...] = ()
    emulator_cpus: frozenset[int] = frozenset()
    """Host CPUs of QEMU's own threads; empty for any."""
    realtime_vcpus: frozenset[int] = frozenset()
    """Virtual CPUs with the fifo scheduler."""
    realtime_priority: int = 1
    tune: CpuTune = CpuTune()
    max_address: MaxAddress | None = None
    """None is the hypervisor's choice."""
