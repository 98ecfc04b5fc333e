# SPDX-License-Identifier: Apache-2.0

"""Disks of a guest, as asked for and as attached."""

import dataclasses
import enum


class DiskBus(enum.StrEnum):
    """How a disk is connected to the guest."""

    VIRTIO = 'virtio'
    SCSI = 'scsi'
    SATA = 'sata'
    IDE = 'ide'
    USB = 'usb'
    FDC = 'fdc'


class DiskDevice(enum.StrEnum):
    """What the guest sees."""

    DISK = 'disk'
    CDROM = 'cdrom'
    FLOPPY = 'floppy'
    LUN = 'lun'


class SourceKind(enum.StrEnum):
    """Where the bytes are."""

    FILE = 'file'
    BLOCK = 'block'
    NETWORK = 'network'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NetworkHost:
    """One server of a network disk."""

    name: str = ''
    port: int | None = None
    socket: str = ''
    """Path of a Unix socket, instead of name and port."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DiskSource:
    """Where a disk's bytes are."""

    kind: SourceKind = SourceKind.FILE
    path: str = ''
    """File or block device; name of the export for a network disk."""
    protocol: str = ''
    """For a network disk: ``nbd``, ``rbd``, ..."""
    hosts: tuple[NetworkHost, ...] = ()
    auth_username: str = ''
    auth_secret_type: str = ''
    """``ceph`` or ``iscsi``."""
    auth_secret_uuid: str = ''
    """Libvirt secret with the key; the key itself is never here."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IoTune:
    """Limits of a disk; None is no limit."""

    total_bytes_s: int | None = None
    read_bytes_s: int | None = None
    write_bytes_s: int | None = None
    total_iops: int | None = None
    read_iops: int | None = None
    write_iops: int | None = None
    total_bytes_s_max: int | None = None
    read_bytes_s_max: int | None = None
    write_bytes_s_max: int | None = None
    total_iops_max: int | None = None
    read_iops_max: int | None = None
    write_iops_max: int | None = None
    size_iops: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DiskEncryption:
    """Encryption that QEMU does; the passphrase is a libvirt secret."""

    secret_uuid: str
    format: str = 'luks'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DiskKey:
    """Which disk of a guest is meant."""

    id: str = ''
    """Identifier of the volume."""
    serial: str = ''
    target_dev: str = ''
    """Of a disk that has neither."""

    @property
    def alias(self) -> str:
        """Name of the device in libvirt, empty for libvirt's choice."""
        return f'ua-{self.id}' if self.id else ''

    def __str__(self) -> str:
        name = self.id or self.serial
        return f'volume {name}' if name else f'disk {self.target_dev}'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpec:
    """One disk of a guest as it is attached."""

    target_dev: str
    """Name that orders the disks, for example ``vda``; empty for the next
    free one."""
    id: str = ''
    """Identifier of the volume, empty for a disk that the driver made."""
    bus: DiskBus
    format: str
    """Format given to QEMU; never found out by looking at the bytes."""
    source: DiskSource
    device: DiskDevice = DiskDevice.DISK
    boot_order: int | None = None
    cache: str = ''
    """Cache mode, empty for the host's policy for this kind of source."""
    io: str = ''
    """``native``, ``threads``, ``io_uring`` or empty."""
    discard: str = ''
    """``unmap``, ``ignore`` or empty."""
    serial: str = ''
    wwn: str = ''
    readonly: bool = False
    shareable: bool = False
    unit: int | None = None
    """Unit on a SCSI controller, None for the next free one."""
    scsi_model: str = ''
    """Model of the SCSI controller, for example ``virtio-scsi``."""
    queues: int | None = None
    logical_block_bytes: int | None = None
    physical_block_bytes: int | None = None
    iotune: IoTune | None = None
    encryption: DiskEncryption | None = None

    @property
    def key(self) -> DiskKey:
        """What finds the disk in its guest."""
        return DiskKey(
            id=self.id, serial=self.serial, target_dev=self.target_dev)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RescueDevice:
    """What the disk of a rescue is to the guest, beside all its own disks."""

    device: DiskDevice = DiskDevice.DISK
    bus: DiskBus | None = None
    """None is that of the guest's own disks, or CD drives."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LocalDisk:
    """A disk that the driver makes empty."""

    size_mib: int
    bus: DiskBus | None = None
    filesystem: str = ''
    """File system to put on it, empty for the host's policy."""
    label: str = ''


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StorageSpec:
    """Disks that the driver makes for one guest."""

    image_id: str = ''
    """Image of the root disk; empty for none."""
    root_gib: int = 0
    """Size of the root disk; 0 takes the image's, up to the host's limit."""
    bus: DiskBus | None = None
    """Bus of the disks; None takes the host's policy."""
    root_bus: DiskBus | None = None
    """Bus of the root disk, None for that of the others."""
    cdrom_bus: DiskBus | None = None
    """Bus of CD drives; None is the one that the machine has."""
    root_device: DiskDevice = DiskDevice.DISK
    """``cdrom`` for an image that is one."""
    scsi_model: str = ''
    discard: str = ''
    ephemerals: tuple[LocalDisk, ...] = ()
    swap: LocalDisk | None = None
    volumes: tuple[DiskSpec, ...] = ()
    """Disks that exist already; the driver never makes or removes them."""
    iotune: IoTune | None = None
    """Limits of the disks that the driver makes."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """A disk in the folder of an instance, and the room that it takes."""

    path: str
    format: str
    size_bytes: int
    """What the guest sees."""
    taken_bytes: int
    """What it takes of the host's file system now."""
    backing_file: str | None = None
    """Path of the cached image that it is based on."""

    @property
    def growth_bytes(self) -> int:
        """By how much it can still grow."""
        return max(0, self.size_bytes - self.taken_bytes)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DiskRoom:
    """The file system of the instances."""

    total_bytes: int
    used_bytes: int
    free_bytes: int
    """What those who are not root may still take."""
    image_cache_bytes: int
    """What cached images take."""
    growth_bytes: int
    """By how much all disks together can still grow."""


def fitting_io(io: str, cache: str) -> str:
    """Return how QEMU can write with a cache mode.

    :param io: how it should
    """
    direct = cache in ('none', 'directsync')
    return 'threads' if io == 'native' and not direct else io
