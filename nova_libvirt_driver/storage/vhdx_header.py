# SPDX-License-Identifier: Apache-2.0

"""What a VHDX image says of itself; read without running any program."""

from collections.abc import Iterator
import dataclasses
import struct
import uuid

from nova_libvirt_driver.storage import image_file

# The first of two tables of regions; QEMU looks at no other.
_REGIONS_OFFSET = 192 * 1024
# Of regions, and of metadata.
_TABLE_BYTES = 64 * 1024
# Signature and number of entries, where the first entry is; entries of 32
# bytes, with an identifier and an offset.
_REGIONS = b'regi', struct.Struct('<4s4xI'), 16, struct.Struct('<16sQ8x')
_METADATA = (
    b'metadata', struct.Struct('<8s2xH'), 32, struct.Struct('<16sI12x'))
_HAS_PARENT = 1 << 1
_STATE_MASK = 7
_PRESENT = (6, 7)
_OFFSET_MASK = ~((1 << 20) - 1)
_CHUNK_SECTORS = 1 << 23


def _id(text: str) -> bytes:
    return uuid.UUID(text).bytes_le


_TABLE_REGION = _id('2dc27766-f623-4200-9d64-115e9bfd4a08')
_METADATA_REGION = _id('8b7ca206-4790-4b9a-b8fe-575f050f886e')
_PARAMETERS_ITEM = _id('caa16737-fa36-4d43-b3b6-33f0aa44e76b')
_SIZE_ITEM = _id('2fa54224-cd1b-4876-b211-5dbed83bf4b8')
_SECTOR_ITEM = _id('8141bf1d-a96f-4709-ba47-f233a8faab5f')
_PARENT_ITEM = _id('a8d35f2d-b30b-454d-abf7-d3d84834ab0c')


@dataclasses.dataclass(frozen=True, slots=True)
class _Layout:
    table: int
    block_bytes: int
    flags: int
    size_bytes: int
    sector_bytes: int
    has_locator: bool


def refusal(file: image_file.ImageFile) -> str:
    """Say why an image is refused, or nothing.

    :raises struct.error: the file is too short
    """
    found = _layout(file)
    if found is None:
        return 'its header is broken'
    if found.has_locator or found.flags & _HAS_PARENT:
        return 'it has a parent'
    return ''


def ends(file: image_file.ImageFile) -> Iterator[int]:
    """Yield where the blocks end that are in the file.

    :raises struct.error: the file is too short
    :raises TableMissing: it does not even reach to its table
    """
    found = _layout(file)
    if found is None or not found.block_bytes or not found.sector_bytes:
        return
    blocks = -(-found.size_bytes // found.block_bytes)
    # Behind each so many entries is one for a bitmap, which only an image
    # with a parent has.
    ratio = max(1, _CHUNK_SECTORS * found.sector_bytes // found.block_bytes)
    entries = blocks + max(0, blocks - 1) // ratio
    for number, entry in enumerate(file.table(found.table, entries, '<Q')):
        group, place = divmod(number, ratio + 1)
        if place < ratio and entry & _STATE_MASK in _PRESENT:
            yield image_file.block_end(
                entry & _OFFSET_MASK, group * ratio + place,
                found.block_bytes, found.size_bytes)


def _layout(file: image_file.ImageFile) -> _Layout | None:
    regions = _offsets(file, _REGIONS_OFFSET, *_REGIONS)
    metadata = regions.get(_METADATA_REGION, 0)
    items = _offsets(file, metadata, *_METADATA) if metadata else {}
    if _TABLE_REGION not in regions or not {
            _PARAMETERS_ITEM, _SIZE_ITEM, _SECTOR_ITEM} <= set(items):
        return None
    block_bytes, flags = file.fields(
        metadata + items[_PARAMETERS_ITEM], '<II')
    [size_bytes] = file.fields(metadata + items[_SIZE_ITEM], '<Q')
    [sector_bytes] = file.fields(metadata + items[_SECTOR_ITEM], '<I')
    return _Layout(regions[_TABLE_REGION], block_bytes, flags, size_bytes,
                   sector_bytes, _PARENT_ITEM in items)


def _offsets(
        file: image_file.ImageFile, at: int, signature: bytes,
        head: struct.Struct, first: int,
        entry: struct.Struct) -> dict[bytes, int]:
    """Return the offset in each entry of a table by its identifier."""
    data = file.read(at, _TABLE_BYTES)
    found, count = head.unpack_from(data)
    if found != signature:
        return {}
    most = (len(data) - first) // entry.size
    entries = data[first:first + min(count, most) * entry.size]
    return {name: offset for name, offset in entry.iter_unpack(entries)
            if offset < image_file.OFFSET_MAX}
