# SPDX-License-Identifier: Apache-2.0

"""What a VDI image says of itself; read without running any program."""

from collections.abc import Iterator

from nova_libvirt_driver.storage import image_file

_TYPE_OFFSET = 76
# Where the table and the data are.
_PLACES_OFFSET = 340
# Size of the disk, of a block, of what else a block has; count of blocks.
_SIZES_OFFSET = 368
# Identifiers of the image that this one is a difference to, and of the state
# in which it was.
_PARENTS_OFFSET, _PARENTS_BYTES = 424, 32
_DYNAMIC, _STATIC = 1, 2
# Larger values are for blocks that are not there.
_ABSENT = 0xfffffffe


def refusal(file: image_file.ImageFile) -> str:
    """Say why an image is refused, or nothing.

    :raises struct.error: the file is too short
    """
    kind, = file.fields(_TYPE_OFFSET, '<I')
    if kind not in (_DYNAMIC, _STATIC) or any(
            file.read(_PARENTS_OFFSET, _PARENTS_BYTES)):
        return 'it has a parent'
    return ''


def ends(file: image_file.ImageFile) -> Iterator[int]:
    """Yield where the blocks end that are in the file.

    :raises struct.error: the file is too short
    :raises TableMissing: it does not even reach to its table
    """
    table, data = file.fields(_PLACES_OFFSET, '<II')
    size, block_bytes, extra_bytes, blocks = file.fields(
        _SIZES_OFFSET, '<QIII')
    if not block_bytes:
        return
    for index, number in enumerate(file.table(
            table, min(blocks, -(-size // block_bytes)), '<I')):
        if number < _ABSENT:
            yield image_file.block_end(
                data + number * (block_bytes + extra_bytes), index,
                block_bytes, size)
