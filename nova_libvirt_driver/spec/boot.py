# SPDX-License-Identifier: Apache-2.0

"""What a guest starts from: firmware, boot order, kernel, machine type."""

import dataclasses
import enum


class Firmware(enum.StrEnum):
    """Kind of firmware."""

    BIOS = 'bios'
    UEFI = 'uefi'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KernelBoot:
    """A kernel that the hypervisor loads by itself.

    Paths are those of files in the instance's folder once storage has
    fetched the images; in a request they are those of local files.
    """

    kernel: str
    initrd: str = ''
    cmdline: str = ''


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BootSpec:
    """How one guest starts."""

    arch: str = ''
    """Architecture, empty for the host's."""
    machine: str = ''
    """Machine type, empty for the host's policy."""
    firmware: Firmware | None = None
    """None takes BIOS where the architecture has one."""
    secure_boot: bool = False
    secure_boot_if_possible: bool = False
    """Where the host and the machine can do it."""
    stateless_firmware: bool = False
    """UEFI that keeps no variables."""
    kernel: KernelBoot | None = None
    kernel_image_id: str = ''
    """Image of the kernel, fetched into the instance's folder."""
    ramdisk_image_id: str = ''
    kernel_cmdline: str = ''
    """Arguments for a kernel that comes from an image."""
    menu: bool = False
    """Show the firmware's boot menu."""
