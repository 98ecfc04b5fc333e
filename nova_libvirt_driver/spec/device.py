# SPDX-License-Identifier: Apache-2.0

"""Further devices of a guest, its clock and its CPU features."""

import dataclasses
import enum


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VideoSpec:
    """The graphics card."""

    model: str = ''
    """``vga``, ``virtio``, ``qxl``, ``cirrus``, ``none``; empty chooses."""
    vram_mib: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RngSpec:
    """A source of random numbers."""

    rate_bytes: int | None = None
    """Bytes in each period, None for no limit."""
    period_ms: int | None = None


class WatchdogAction(enum.StrEnum):
    """What happens when a guest does not feed its watchdog."""

    RESET = 'reset'
    SHUTDOWN = 'shutdown'
    POWEROFF = 'poweroff'
    PAUSE = 'pause'
    NONE = 'none'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TpmSpec:
    """An emulated TPM; its secret is a libvirt secret."""

    version: str = '2.0'
    model: str = 'tpm-crb'
    secret_uuid: str = ''


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TpmSecret:
    """What the state of a TPM is encrypted with."""

    uuid: str
    value: bytes = dataclasses.field(repr=False)
    kept: bool = False
    """Libvirt keeps it on disk, for starts without its owner."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IommuSpec:
    """A virtual IOMMU."""

    model: str = 'intel'
    """``intel``, ``virtio`` or ``smmuv3``."""
    eim: bool = True
    caching_mode: bool = True
    iotlb: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """Devices of one guest besides disks, interfaces and consoles."""

    video: VideoSpec | None = VideoSpec()
    """None for no card; without a graphical console there is none."""
    pointer: str = ''
    """``usbtablet``, ``ps2mouse``, ``virtio``; empty chooses."""
    rng: RngSpec | None = None
    watchdog: WatchdogAction | None = None
    agent: bool = False
    """A channel for the guest agent."""
    tpm: TpmSpec | None = None
    sound: str = ''
    """Model of the sound card, empty for none."""
    iommu: IommuSpec | None = None
    usb_controller: bool = True
    usb_redirections: int = 0
    """Redirected USB devices over SPICE."""
    vsock_cid: int | None = None


class OsType(enum.StrEnum):
    """Family of the guest's operating system."""

    OTHER = ''
    LINUX = 'linux'
    WINDOWS = 'windows'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """Clock and features of one guest's machine."""

    acpi: bool = True
    apic: bool = True
    pmu: bool | None = None
    """None leaves libvirt's default."""
    hide_hypervisor: bool = False
    vmcoreinfo: bool = False
    hpet: bool = False
    os_type: OsType = OsType.OTHER
    """Windows gets its enlightenments and a clock in local time."""
