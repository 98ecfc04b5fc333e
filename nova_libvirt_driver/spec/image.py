# SPDX-License-Identifier: Apache-2.0

"""What is known of an image, and of the disk created from it."""

from collections.abc import Mapping
import dataclasses
import enum


class DiskFormat(enum.StrEnum):
    """Formats an image may be declared to have; the words are Glance's."""

    RAW = 'raw'
    QCOW2 = 'qcow2'
    VMDK = 'vmdk'
    VHD = 'vpc'
    VHDX = 'vhdx'
    VDI = 'vdi'
    ISO = 'iso'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image as its source describes it; nothing of it is trusted."""

    id: str
    """Identifier in its source; never used as a path."""
    disk_format: str
    """Declared format; what the bytes are has to agree with it."""
    name: str = ''
    size_bytes: int | None = None
    """Length of the file, None when the source does not know."""
    min_disk_gib: int = 0
    min_ram_mib: int = 0
    checksum: str = ''
    """Hexadecimal digest of the bytes, empty when there is none."""
    checksum_algorithm: str = ''
    """Name of the digest as hashlib has it, for example ``sha512``."""
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Further properties, for example ``hw_disk_bus``."""


@dataclasses.dataclass(frozen=True, slots=True)
class CachedImage:
    """A base file in the image cache, checked and ready to be used."""

    path: str
    format: DiskFormat
    virtual_size_bytes: int
    fetched: bool = False
    """True when this call fetched it into the cache."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """An image to make."""

    id: str
    name: str = ''
