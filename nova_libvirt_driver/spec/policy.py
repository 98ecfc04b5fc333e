# SPDX-License-Identifier: Apache-2.0

"""What this host gives every guest that does not ask for something else."""

from collections.abc import Mapping
from collections.abc import Set
import dataclasses
import enum

from nova_libvirt_driver.spec import configdrive
from nova_libvirt_driver.spec import cpu
from nova_libvirt_driver.spec import disk
from nova_libvirt_driver.spec import memory

# The first cannot be had on aarch64, the second not without kvm.
_LIKE_THE_HOST = (
    cpu.CpuMode.HOST_MODEL, cpu.CpuMode.HOST_PASSTHROUGH,
    cpu.CpuMode.MAXIMUM)


class ImageBackend(enum.StrEnum):
    """How root and other disks of instances are kept."""

    QCOW2 = 'qcow2'
    """An overlay over the image in the cache."""
    RAW = 'raw'
    """A full copy."""


class ToolSandbox(enum.StrEnum):
    """Whether programs that read images run in a sandbox."""

    REQUIRED = 'required'
    """Without one no image is read."""
    PREFERRED = 'preferred'
    """Without one they run with limits only, and a warning says so."""
    OFF = 'off'


class LikeNova(enum.StrEnum):
    """What of a guest can be as Nova's own driver makes it."""

    CPU_MODELS = 'cpu_models'
    """The first model of the list is taken, or one that libvirt takes for
    it, whether the host has it or not."""
    FIRMWARE_KEYS = 'firmware_keys'
    """Firmware without secure boot may have keys enrolled."""
    HYPERV_STIMER = 'hyperv_stimer'
    """Windows gets no timers of Hyper-V."""
    MULTIQUEUE = 'multiqueue'
    """Interfaces have several queues with KVM only."""
    RNG_LIMIT = 'rng_limit'
    """Random numbers are limited only if a period is set."""
    VHOSTUSER = 'vhostuser'
    """Interfaces behind a socket have no MTU and no shared memory."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GuestPolicy:
    """Options that shape the XML of guests."""

    virt_type: str = 'qemu'
    cpu_mode: cpu.CpuMode | None = None
    """None is the nearest to the host's CPU that there is."""
    cpu_models: tuple[str, ...] = ()
    cpu_flags: tuple[cpu.CpuFlag, ...] = ()
    machine_types: Mapping[str, str] = dataclasses.field(
        default_factory=dict)
    """Machine type for each architecture."""
    disk_bus: disk.DiskBus | None = None
    """None is virtio where the machine has it."""
    disk_prefix: str = ''
    """Prefix of target devices, empty for the one that fits the bus."""
    disks_max: int | None = None
    """Disks of a guest whose names begin alike, None for any number."""
    disk_cachemodes: Mapping[str, str] = dataclasses.field(
        default_factory=dict)
    """Cache mode for each kind of source: file, block, network."""
    disk_io: str = ''
    """How QEMU writes to disks that the driver made, empty for its choice."""
    discard: str = ''
    tb_cache_mib: int | None = None
    """TCG's translation cache; QEMU's own default is 1 GiB a guest."""
    memory_source: memory.MemorySource = memory.MemorySource.ANONYMOUS
    stats_period_s: int = 10
    """Seconds between two memory statistics of the balloon; 0 for none."""
    perf_events: tuple[str, ...] = ()
    """What the kernel counts for guests."""
    pcie_ports: int = 0
    """PCIe root ports of a q35 machine, 0 for libvirt's choice."""
    rng_path: str = '/dev/urandom'
    sysinfo_serial: str = 'unique'
    """``unique``, ``os``, ``hardware``, ``auto`` or ``none``."""
    like_nova: frozenset[LikeNova] = frozenset()
    nic_model: str = 'virtio'
    """Empty is libvirt's choice."""
    rx_queue_size: int | None = None
    tx_queue_size: int | None = None

    def usable_cpu_models(self, offered: Set[str]) -> list[str]:
        """Return the models for the mode custom, the preferred one first.

        :param offered: models that the hypervisor has, empty if it does not
            say
        """
        # Libvirt tells capitals apart, the option does not.
        known = {model.lower(): model for model in offered}
        has_any = not offered or LikeNova.CPU_MODELS in self.like_nova
        return [known.get(model.lower(), model) for model in self.cpu_models
                if has_any or model.lower() in known]

    def chosen_cpu_mode(self, offered: Set[str]) -> cpu.CpuMode:
        """Return the CPU mode of a guest that does not ask for one.

        :param offered: modes that the hypervisor has, empty if it does not
            say
        """
        if self.cpu_mode is not None:
            return self.cpu_mode
        for mode in _LIKE_THE_HOST:
            if mode in offered:
                return mode
        return (cpu.CpuMode.HOST_MODEL if self.virt_type == 'kvm'
                else cpu.CpuMode.NONE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoragePolicy:
    """Options that shape the disks of instances."""

    instances_path: str
    backend: ImageBackend = ImageBackend.QCOW2
    force_raw_images: bool = True
    """Images are converted to raw when they come into the cache."""
    image_max_gib: int = 100
    """Largest root disk where neither flavor nor request names a size."""
    console_log_max_mib: int = 2
    """Length above which a console log is rotated, 0 for no limit."""
    preallocate: bool = False
    """Disks take their room when they are made."""
    tool_cpu_s: int = 30
    """CPU time that a look at an image may take."""
    tool_look_memory_mib: int = 2048
    """Memory that a look at an image may take."""
    tool_convert_cpu_s: int = 3600
    """CPU time that a conversion may take."""
    tool_memory_mib: int = 2048
    tool_sandbox: ToolSandbox = ToolSandbox.PREFERRED
    tool_timeout_s: float = 3600
    """Wall-clock time that any tool may take."""
    ephemeral_filesystem: str = 'vfat'
    config_drive_format: configdrive.ConfigDriveFormat = (
        configdrive.ConfigDriveFormat.ISO9660)
    force_config_drive: bool = False
    snapshot_format: str = ''
    """Format of snapshots, empty for that of the source image."""
    snapshot_compression: bool = False
    host: str = ''
    """Name of this host; others may share the folders."""
    snapshots_path: str = ''
    """Folder of copies until they are uploaded; empty is below that of the
    instances."""
    image_cache_folder: str = '_base'
    """Folder of the image cache, below that of the instances."""
    remove_unused_images: bool = True
    unused_image_age_s: float = 86400
    """Age at which a cached image that no disk uses is removed."""

    @property
    def image_cache_path(self) -> str:
        """Folder of the image cache."""
        return f'{self.instances_path}/{self.image_cache_folder}'
