# SPDX-License-Identifier: Apache-2.0

"""Volumes of a guest, as a volume service and the host describe them."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from nova_libvirt_driver.spec import disk


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where in a guest a volume is."""

    target_dev: str
    """Name that orders the disks, for example ``vdb``."""
    bus: disk.DiskBus
    device: disk.DiskDevice = disk.DiskDevice.DISK
    boot_order: int | None = None
    scsi_model: str = ''
    """Model of the SCSI controller, for example ``virtio-scsi``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One volume of a guest."""

    info: dict[str, Any] = dataclasses.field(repr=False)
    """Connection information, the very object of the volume service's
    client: what the host finds out about the way is written into it. It may
    hold keys and passwords."""
    place: Placement
    size_bytes: int = 0
    """How large it is at least; 0 when that is not known."""
    required: bool = True
    """Without it the guest does not start."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSettings:
    """How this host gives volumes to guests."""

    rbd_user: str = ''
    """User for RBD volumes that come without a secret of their own."""
    rbd_secret_uuid: str = ''
    """Libvirt secret of that user."""
    default_aio: bool = False
    """Leave the I/O mode to QEMU where it is a matter of choice."""
    cache_modes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Cache mode by kind of source: ``file``, ``block``, ``network``."""
    discard: str = ''
    """What disks get that the driver makes; a volume has its own setting."""
    ephemeral_secrets: bool = False
    """Libvirt keeps passphrases of volumes in memory only: they are gone
    after a restart of its daemon, and guests start only by a request of
    someone who may read the key."""
