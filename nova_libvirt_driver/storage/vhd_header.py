# SPDX-License-Identifier: Apache-2.0

"""What a VHD image says of itself; read without running any program.

A dynamic one begins with a copy of the footer; a fixed one, as clouds export
them, is a raw disk with a footer behind it.
"""

from collections.abc import Iterator
import struct

from nova_libvirt_driver.storage import image_file

_FOOTER_BYTES = 512
# Cookie, where the next header is, size of the disk, type.
_FOOTER = struct.Struct('>8s8xQ24xQ4xI')
_COOKIE = b'conectix'
_FIXED, _DYNAMIC = 2, 3
_DYNAMIC_COOKIE = b'cxsparse'
# Table's offset, entries, bytes of a block.
_TABLE, _TABLE_OFFSET = '>Q4xII', 16
# Identifier of the parent; its name, and where else it is named.
_PARENT = (40, 16), (64, 704)
_UNALLOCATED = 0xffffffff
_SECTOR_BYTES = 512


def fixed_size_bytes(file: image_file.ImageFile) -> int | None:
    """Return the size of the disk when a file ends like a fixed image."""
    footer = file.end(_FOOTER_BYTES)
    if len(footer) < _FOOTER_BYTES:
        return None
    cookie, _, size, kind = _FOOTER.unpack_from(footer)
    return size if cookie == _COOKIE and kind == _FIXED else None


def virtual_size_bytes(file: image_file.ImageFile) -> int:
    """Return the size of a dynamic disk; QEMU's with ``force_size``.

    :raises struct.error: the file is too short
    """
    return _footer(file)[2]


def refusal(file: image_file.ImageFile) -> str:
    """Say why an image that begins like a dynamic one is refused, or nothing.

    :raises struct.error: the file is too short
    """
    _, header, _, kind = _footer(file)
    if kind == _FIXED:
        # At the beginning QEMU takes any footer for that of a dynamic one.
        return 'its footer is at its beginning'
    if kind != _DYNAMIC:
        return 'it has a parent, or is of an unknown kind'
    if file.read(header, len(_DYNAMIC_COOKIE)) != _DYNAMIC_COOKIE:
        return 'its second header is broken'
    if any(any(file.read(header + offset, count))
           for offset, count in _PARENT):
        return 'it has a parent'
    return ''


def ends(file: image_file.ImageFile) -> Iterator[int]:
    """Yield where the blocks end that are in the file.

    :raises struct.error: the file is too short
    :raises TableMissing: it does not even reach to its table
    """
    cookie, header, size, _ = _footer(file)
    if cookie != _COOKIE:
        yield (fixed_size_bytes(file) or 0) + _FOOTER_BYTES
        return
    table, entries, block_bytes = file.fields(header + _TABLE_OFFSET, _TABLE)
    if not block_bytes:
        return
    # Each block begins with a bitmap of its sectors.
    bitmap_bytes = -(-block_bytes // _SECTOR_BYTES // 8)
    bitmap_bytes = -(-bitmap_bytes // _SECTOR_BYTES) * _SECTOR_BYTES
    for index, sector in enumerate(file.table(
            table, min(entries, -(-size // block_bytes)), '>I')):
        if sector != _UNALLOCATED:
            yield image_file.block_end(
                sector * _SECTOR_BYTES + bitmap_bytes, index, block_bytes,
                size)


def _footer(file: image_file.ImageFile) -> tuple[bytes, int, int, int]:
    return _FOOTER.unpack(file.read(0, _FOOTER.size))
