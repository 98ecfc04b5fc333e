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
    """``intel``, ``virtio`` or ``smmuv3``; ``auto`` for the one that suits
    machine and host."""
    eim: bool = True
    caching_mode: bool = True
    iotlb: bool = True
    address_bits: int | None = 48
    """Width of addresses that devices use."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """Devices of one guest besides disks, interfaces and consoles."""

    video: VideoSpec | None = VideoSpec()
    """None for no card; without a graphical console there is none."""
    pointer: str = ''
    """``usbtablet``, ``ps2mouse``, ``virtio``, ``none``; empty chooses."""
    rng: RngSpec | None = RngSpec()
    watchdog: WatchdogAction | None = None
    agent: bool = False
    """A channel for the guest agent."""
    tpm: TpmSpec | None = None
    sound: str = ''
    """Model of the sound card, empty for none."""
    iommu: IommuSpec | None = None
    keyboard: str = ''
    """Bus of a keyboard that the machine has not by itself."""
    usb_controller: bool = True
    """False refuses what needs one."""
    usb_model: str = ''
    """Model of a controller that no device needs; empty for none."""
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
    vmcoreinfo: bool = True
    """Crash dumps of the guest can be read."""
    hpet: bool = False
    os_type: OsType = OsType.OTHER
    """Windows gets its enlightenments and a clock in local time."""
    admin_user: str = ''
    """Administrator in the guest, empty for that of its operating system."""
    require_quiesce: bool = False
    """There are no snapshots unless its file systems can be frozen."""

    @property
    def administrator(self) -> str:
        """Name of the administrator in the guest."""
        if self.admin_user:
            return self.admin_user
        return ('Administrator' if self.os_type is OsType.WINDOWS
                else 'root')


@dataclasses.dataclass(frozen=True, slots=True)
class Unmanaged:
    """A device of a guest that this driver did not give it."""

    name: str
    is_kept: bool
    """It stays when the guest is started again; otherwise no start is
    possible."""
