# SPDX-License-Identifier: Apache-2.0

"""Which cached image a disk is based on, from the header that QEMU wrote.

Only for keeping images: nothing is opened because a header names it.
"""

import os
import struct

_HEADER = struct.Struct('>4sIQI')
_MAGIC = b'QFI\xfb'
_NAME_MAX = 1023
# The name is in the first cluster. A guest may have written any other number
# to its disk; nowhere else is looked.
_OFFSET_MAX = 2 << 20


def backing_file(path: str) -> str | None:
    """Return the backing file that a qcow2 disk names, None without one.

    A relative one counts from the folder of the disk.

    :raises OSError: the disk cannot be read
    """
    with open(path, 'rb') as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return None
        magic, _, offset, length = _HEADER.unpack(head)
        if magic != _MAGIC or not 0 < offset <= _OFFSET_MAX or (
                not 0 < length <= _NAME_MAX):
            return None
        file.seek(offset)
        name = os.fsdecode(file.read(length))
    return os.path.normpath(os.path.join(os.path.dirname(path), name))
