# SPDX-License-Identifier: Apache-2.0

"""The file of an image, read by offset and without running any program.

Whatever offset a header names is one that a tenant chose: nothing is read
there, or what is there, and what comes back short is an error of its own.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import dataclasses
import itertools
import os
import posix
import struct
import time

from nova_libvirt_driver.privileged import client

# More than any file has, and than the system takes as an offset.
OFFSET_MAX = 1 << 62
_MAX_BLOCKS = 1 << 26
# As many as QEMU takes for the first table of a qcow2 image.
_MAX_ENTRIES = 1 << 22
_BLOCKS_AT_ONCE = 1 << 16


class TableMissing(Exception):
    """A table of the image is beyond the end of the file."""

    def __init__(self, missing_bytes: int) -> None:
        super().__init__(missing_bytes)
        self.missing_bytes = missing_bytes


@dataclasses.dataclass(frozen=True, slots=True)
class ImageFile:
    """An open file, or block device, and its length in bytes."""

    descriptor: int
    length: int

    def read(self, offset: int, count: int) -> bytes:
        """Return what is at an offset; fewer bytes at the end of the file."""
        if offset >= OFFSET_MAX:
            return b''
        return os.pread(self.descriptor, count, offset)

    def end(self, count: int) -> bytes:
        """Return the last bytes of the file."""
        return self.read(max(0, self.length - count), count)

    def fields(self, offset: int, code: str) -> tuple[int, ...]:
        """Return numbers from a header.

        :param code: of them, as :mod:`struct` has it
        :raises struct.error: the file is too short
        """
        return struct.unpack(code, self.read(offset, struct.calcsize(code)))

    def table(self, offset: int, entries: int, code: str) -> tuple[int, ...]:
        """Return the entries of a table, the first four million of them.

        :param code: one entry as :mod:`struct` has it, for example ``<I``
        :raises TableMissing: it is beyond the end of the file
        """
        entries = min(entries, _MAX_ENTRIES)
        missing = offset + entries * struct.calcsize(code) - self.length
        if missing > 0:
            raise TableMissing(missing)
        return self.fields(offset, f'{code[0]}{entries}{code[1]}')

    def missing_bytes(self, ends: Iterable[int]) -> int:
        """Return how many bytes the file is too short.

        QEMU reads zeros where a block is beyond the end of the file, so half
        an upload would become a disk without an error. This does not protect
        against an image made to deceive: it looks at a bounded number of
        blocks.

        :param ends: where each block of it ends
        :raises struct.error: it is too short for a header
        """
        last = 0
        remaining = iter(itertools.islice(ends, _MAX_BLOCKS))
        try:
            while some := tuple(itertools.islice(
                    remaining, _BLOCKS_AT_ONCE)):
                last = max(last, *some)
                # Other green threads of this process have their turn.
                time.sleep(0)
        except TableMissing as error:
            return error.missing_bytes
        return max(0, last - self.length)


@contextlib.contextmanager
def opened(path: str) -> Iterator[ImageFile]:
    """Open an image, or a disk, for reading.

    :raises OSError: it cannot be read
    :raises PrivilegesMissing: this user may not read it
    """
    client.ensure_readable(path)
    # A FIFO would be waited for. Not os.open, see filesystem/records.py.
    with open(path, 'rb', buffering=0, opener=lambda name, flags: posix.open(
            name, flags | os.O_NONBLOCK)) as file:
        # A block device has a length, too, but stat() does not tell it.
        yield ImageFile(file.fileno(), file.seek(0, os.SEEK_END))


def block_end(
        offset: int, index: int, block_bytes: int, size_bytes: int) -> int:
    """Return where a block ends in the file.

    The last one need not be there as a whole when the disk is not a multiple
    of blocks.

    :param index: number of the block in the virtual disk
    :param size_bytes: of the virtual disk
    """
    return offset + min(block_bytes, max(0, size_bytes - index * block_bytes))
