# SPDX-License-Identifier: Apache-2.0

"""What the header of a qcow2 image says; read without running any program.

A tool that opens an image opens the files its header names as well
(CVE-2011-3147, CVE-2024-32498, CVE-2024-4467).
"""

from collections.abc import Iterator
import dataclasses
import struct

from nova_libvirt_driver.storage import image_file

_MAGIC = b'QFI\xfb'
# Behind that what _Header has: the last two, of which one is behind other
# bits, in version 3.
_HEADER = struct.Struct('>4xIQIIQIIQ24xQ20xI')
_VERSION_2_BYTES = 72
_EXTENSION = struct.Struct('>II')
_EXTENSIONS_WITHIN_BYTES = 65536

_DIRTY, _CORRUPT, _DATA_FILE = 1 << 0, 1 << 1, 1 << 2
_COMPRESSION, _EXTENDED_L2 = 1 << 3, 1 << 4
_KNOWN = _DIRTY | _COMPRESSION | _EXTENDED_L2
_BACKING_FORMAT = 0xe2792aca
_EXTENSION_REFUSALS = {
    0x44415441: 'it has an external data file',
    0x0537be77: 'it is encrypted'}

# Limits of QEMU.
_L1_MAX_BYTES = 32 << 20
_NAME_MAX_BYTES = 1023
# The backing file's name is in the first cluster. A guest may have written
# any other number to its disk; nowhere else is looked.
_NAME_OFFSET_MAX = 2 << 20
_OFFSET_MASK = 0x00fffffffffffe00
_COMPRESSED, _ZERO = 1 << 62, 1


@dataclasses.dataclass(frozen=True, slots=True)
class _Header:
    version: int
    backing: int
    backing_bytes: int
    cluster_bits: int
    size_bytes: int
    encryption: int
    table_entries: int
    table: int
    features: int
    """Those that have to be understood."""
    length: int


def _header(file: image_file.ImageFile) -> _Header | None:
    """Return the header, whatever it says; None if there is none."""
    data = file.read(0, _HEADER.size)
    if not data.startswith(_MAGIC) or len(data) < _HEADER.size:
        return None
    header = _Header(*_HEADER.unpack(data))
    if header.version < 3:
        return dataclasses.replace(
            header, features=0, length=_VERSION_2_BYTES)
    return header


def virtual_size_bytes(file: image_file.ImageFile) -> int:
    """Return the size of the disk that an image is of.

    :raises ValueError: it is not such an image
    """
    header = _header(file)
    if header is None or header.version not in (2, 3):
        raise ValueError('it has no header of a qcow2 image')
    return header.size_bytes


def backing_file(file: image_file.ImageFile) -> tuple[bytes, str] | None:
    """Return the backing file's name and format, None without one.

    The format is empty when the header does not say.
    """
    header = _header(file)
    if header is None or not 0 < header.backing <= _NAME_OFFSET_MAX or not (
            0 < header.backing_bytes <= _NAME_MAX_BYTES):
        return None
    formats = (data.decode('ascii', 'replace')
               for kind, data in _extensions(file, header)
               if kind == _BACKING_FORMAT)
    return (file.read(header.backing, header.backing_bytes),
            next(formats, ''))


def refusal(file: image_file.ImageFile) -> str:
    """Say why an image is refused, or nothing."""
    header = _header(file)
    if header is None or header.version not in (2, 3):
        return 'it is not a qcow2 image of version 2 or 3'
    if header.backing or header.backing_bytes:
        return 'it has a backing file'
    if header.encryption:
        return 'it is encrypted'
    if not 9 <= header.cluster_bits <= 21:
        return 'its clusters have an impossible size'
    if header.table_entries * 8 > _L1_MAX_BYTES:
        return 'its table of clusters is too large'
    if header.version == 3 and header.length < _HEADER.size:
        return 'its header is too short'
    return _feature_refusal(header.features) or next((
        _EXTENSION_REFUSALS[kind] for kind, _ in _extensions(file, header)
        if kind in _EXTENSION_REFUSALS), '')


def _feature_refusal(features: int) -> str:
    if features & _DATA_FILE:
        return 'it has an external data file'
    if features & _CORRUPT:
        return ('it is marked as corrupt; repair it with qemu-img check -r '
                'all, and upload it again')
    if features & ~_KNOWN:
        return ('it has features that this version does not know; convert it '
                'with qemu-img convert -O qcow2')
    return ''


def _extensions(
        file: image_file.ImageFile,
        header: _Header) -> Iterator[tuple[int, bytes]]:
    data = file.read(0, _EXTENSIONS_WITHIN_BYTES)
    start = header.length
    while start + _EXTENSION.size <= len(data):
        kind, length = _EXTENSION.unpack_from(data, start)
        if kind == 0:
            return
        start += _EXTENSION.size
        yield kind, data[start:start + length]
        start += (length + 7) // 8 * 8


def ends(file: image_file.ImageFile) -> Iterator[int]:
    """Yield where the clusters end that are read from the file.

    Of a compressed one, and of one with parts, no more is known than where
    it begins.

    :raises TableMissing: it does not even reach to its tables
    """
    header = _header(file)
    if header is None:
        return
    bits = header.cluster_bits
    extended = bool(header.features & _EXTENDED_L2)
    words = 2 if extended else 1
    entries = (1 << bits) // (8 * words)
    covered = entries << bits
    compressed_mask = (1 << (70 - bits)) - 1
    seen: set[int] = set()
    for number, entry in enumerate(file.table(
            header.table, min(header.table_entries,
                              -(-header.size_bytes // covered)), '>Q')):
        table = entry & _OFFSET_MASK
        if not table or table in seen:
            continue
        seen.add(table)
        for index, cluster in enumerate(
                file.table(table, entries * words, '>Q')[::words]):
            if cluster & _COMPRESSED:
                yield (cluster & compressed_mask) + 1
            elif extended and cluster & _OFFSET_MASK:
                yield (cluster & _OFFSET_MASK) + 1
            elif cluster & _OFFSET_MASK and not cluster & _ZERO:
                yield image_file.block_end(
                    cluster & _OFFSET_MASK, number * entries + index,
                    1 << bits, header.size_bytes)
