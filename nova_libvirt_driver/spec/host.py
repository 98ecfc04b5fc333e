# SPDX-License-Identifier: Apache-2.0

"""What is said about one compute host."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class HostCpu:
    """One logical CPU of a host."""

    id: int
    socket_id: int | None
    siblings: frozenset[int]
    """Threads of the same core, itself among them; may be empty."""


@dataclasses.dataclass(frozen=True, slots=True)
class PagePool:
    """Memory pages of one size."""

    size_kib: int
    total: int


@dataclasses.dataclass(frozen=True, slots=True)
class HostCell:
    """One NUMA node of a host."""

    id: int
    memory_kib: int
    cpus: tuple[HostCpu, ...]
    pages: tuple[PagePool, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class PhysicalAddresses:
    """How wide the CPU's addresses of memory are."""

    mode: str
    bits: int


@dataclasses.dataclass(frozen=True, slots=True)
class GuestKind:
    """A kind of guests that the hypervisor runs."""

    arch: str
    virt_type: str
    os_type: str
    """For example ``hvm``."""
    machines: tuple[str, ...]
    """Short names of its machine types, as ``q35`` for ``pc-q35-7.2``."""


@dataclasses.dataclass(frozen=True, slots=True)
class HostFacts:
    """What a connection says of its host; constant while it lives."""

    hostname: str
    hypervisor_type: str
    """Driver name of libvirt, for example ``QEMU`` or ``TEST``."""
    hypervisor_version: int
    """Version as libvirt counts: major * 1,000,000 + minor * 1,000 + n."""
    libvirt_version: int
    """Version of the libvirt that answers, counted the same way."""
    uri: str
    """The canonical URI of the connection."""
    arch: str
    cpus: int
    """CPUs that are online when the connection is opened."""
    memory_mib: int
    """Memory when the connection is opened."""
    cpu_model: str
    """Model name from the capabilities, empty when there is none."""
    cpu_sockets: int
    """Sockets of all NUMA nodes together."""
    cpu_cores: int
    """Cores per socket."""
    cpu_threads: int
    """Threads per core."""
    cpu_vendor: str = ''
    cpu_features: frozenset[str] = frozenset()
    """Libvirt's names of all that the CPU has."""
    cpu_addresses: PhysicalAddresses | None = None
    cells: tuple[HostCell, ...] = ()
    """NUMA nodes, none when libvirt does not tell."""
    guest_kinds: tuple[GuestKind, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostOffers:
    """What guests of any machine type can have; constant like the facts."""

    archs: frozenset[str] = frozenset()
    """Architectures of guests, by emulation as well."""
    cpu_features: frozenset[str] = frozenset()
    """Libvirt's names of what the CPUs of guests have."""
    disk_buses: frozenset[str] = frozenset()
    video_models: frozenset[str] = frozenset()
    tpm_models: frozenset[str] = frozenset()
    tpm_versions: frozenset[str] = frozenset()
    secure_boot: bool = False
    stateless_firmware: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class CpuTimes:
    """What the CPUs of a host did since it was started, in nanoseconds."""

    kernel_ns: int
    user_ns: int
    idle_ns: int
    iowait_ns: int
    frequency_mhz: int


@dataclasses.dataclass(frozen=True, slots=True)
class HostResources:
    """What a host has, and what of it is in use.

    Field names and units are those of the compute service's contract.
    """

    hypervisor_hostname: str
    hypervisor_type: str
    hypervisor_version: int
    vcpus: int
    vcpus_used: int
    memory_mb: int
    """Memory of the host in MiB."""
    memory_mb_used: int
    """Memory in use in MiB: by guests, by the host, by anything."""
    local_gb: int
    """Room of the file system of the instances in GiB."""
    local_gb_used: int
    """Used room of that file system in GiB."""
    disk_available_least: int
    """Room in GiB when every disk has grown to its size; may be negative."""
    image_cache_bytes: int
    """Room that cached images take."""
    running_instances: int
    online_cpus: frozenset[int]


def dotted(number: int) -> str:
    """Return a version as libvirt counts it in dotted form."""
    return f'{number // 1000000}.{number // 1000 % 1000}.{number % 1000}'
