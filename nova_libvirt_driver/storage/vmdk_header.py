# SPDX-License-Identifier: Apache-2.0

"""What a VMDK image says of itself; read without running any program.

Only images of one file are taken. QEMU's driver (block/vmdk.c) searches the
text in the twenty sectors behind the header for ``parentFileNameHint``,
``CID`` and ``parentCID``: anywhere in them, comment lines and what lies
behind the sectors that the header gives to the descriptor included. So no
such word may be anywhere in there, whatever else the image says.
"""

from collections.abc import Iterator
import dataclasses
import re
import struct

from nova_libvirt_driver.storage import image_file

_SECTOR_BYTES = 512
# Magic, and behind the version what _Header has; skipped are the spare grain
# directory, the first grain, whether it was closed, and line ends.
_HEADER = struct.Struct('<4s4xIQQQQI8xQ8x5xH')
_AT_END = (1 << 64) - 1
_SEARCHED_BYTES = 20 * _SECTOR_BYTES
_DESCRIPTOR_MAX_BYTES = 1 << 20
_FLAG_ZERO_GRAIN = 1 << 2
_ZERO_GRAIN = 1

_PARENT = re.compile(
    rb'(?i)parentFileNameHint|parentCID(?![ \t]*=[ \t]*f{8}(?![0-9a-f]))')
_TYPE = re.compile(
    rb'(?i)createType(?![ \t]*=[ \t]*"(?:monolithicSparse|streamOptimized)")')
_EXTENT = re.compile(
    rb'(?i)(?:^|[\r\n\0])[ \t]*(?:RW|RDONLY|NOACCESS)[ \t]+\d+[ \t]+'
    rb'(\w+)([^\r\n\0]*)')


@dataclasses.dataclass(frozen=True, slots=True)
class _Header:
    """What is looked at of a header; sizes and places are in sectors."""

    flags: int
    capacity: int
    grain_sectors: int
    descriptor_sector: int
    descriptor_sectors: int
    table_entries: int
    directory: int
    compression: int


def refusal(file: image_file.ImageFile) -> str:
    """Say why an image is refused, or nothing.

    :raises struct.error: the file is too short
    """
    header = _header(file, 0)
    if header is None or not header.capacity:
        # With no capacity QEMU takes the embedded text for a list of files.
        return 'its data is in other files'
    if header.descriptor_sector != 1:
        return 'its descriptor is not behind its header'
    text_bytes = header.descriptor_sectors * _SECTOR_BYTES
    if text_bytes > _DESCRIPTOR_MAX_BYTES:
        return 'its descriptor is too large'
    return _text_refusal(file.read(
        _SECTOR_BYTES, max(text_bytes, _SEARCHED_BYTES))
    ) or _footer_refusal(file, header)


def ends(file: image_file.ImageFile) -> Iterator[int]:
    """Yield where the grains end; of compressed ones where they begin.

    :raises TableMissing: it does not even reach to its tables
    """
    header = _header(file, 0)
    if header is not None and header.directory == _AT_END:
        header = _footer(file)
    if header is None or not header.table_entries * header.grain_sectors:
        return
    covered = header.table_entries * header.grain_sectors
    for number, table in enumerate(file.table(
            header.directory * _SECTOR_BYTES,
            -(-header.capacity // covered), '<I')):
        if not table:
            continue
        grains = file.table(table * _SECTOR_BYTES, header.table_entries, '<I')
        for index, grain in enumerate(grains, number * header.table_entries):
            if not grain or grain == _ZERO_GRAIN and (
                    header.flags & _FLAG_ZERO_GRAIN):
                continue
            offset = grain * _SECTOR_BYTES
            yield offset + 1 if header.compression else image_file.block_end(
                offset, index, header.grain_sectors * _SECTOR_BYTES,
                header.capacity * _SECTOR_BYTES)


def _header(file: image_file.ImageFile, offset: int) -> _Header | None:
    data = file.read(offset, _HEADER.size)
    if not data.startswith(b'KDMV'):
        return None
    return _Header(*_HEADER.unpack(data)[1:])


def _footer(file: image_file.ImageFile) -> _Header | None:
    """Return the header at the end of a file, from where QEMU takes it."""
    sectors = -(-file.length // _SECTOR_BYTES)
    return _header(file, max(0, sectors - 2) * _SECTOR_BYTES)


def _text_refusal(text: bytes) -> str:
    if _PARENT.search(text):
        return 'it has a parent'
    if _TYPE.search(text):
        return 'its subformat is one with data in other files'
    extents = _EXTENT.findall(text)
    if len(extents) > 1 or any(
            kind.upper() != b'SPARSE' or re.search(rb'[/\\]', rest)
            for kind, rest in extents):
        return 'an extent of it is in another file'
    return ''


def _footer_refusal(file: image_file.ImageFile, header: _Header) -> str:
    if header.directory != _AT_END:
        return ''
    footer = _footer(file)
    if footer is None:
        return ('it is truncated: the part with which it ends is missing; '
                'upload it again')
    if footer.capacity != header.capacity:
        return 'it says two different sizes'
    return ''
