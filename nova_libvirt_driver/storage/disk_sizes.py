# SPDX-License-Identifier: Apache-2.0

"""By how much the disks of an instance can still grow.

What was read is kept: of a disk that has not changed since, only the status
is read again.
"""

from collections.abc import Container
from collections.abc import Mapping
import os
import stat

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage import qcow2_header
from nova_libvirt_driver.storage import record

BLOCK_BYTES = 512
"""The unit of ``st_blocks``."""

RECORD = 'disk.info'

_Mark = tuple[int, int, int]


class DiskSizes:
    """Sizes of disks, by the folder of their instance.

    No program is run, and what is no file is not opened. What goes away
    meanwhile, or cannot be read, counts as nothing.
    """

    def __init__(self) -> None:
        self._formats: dict[str, tuple[_Mark, Mapping[str, str]]] = {}
        self._sizes_bytes: dict[str, tuple[_Mark, int]] = {}

    def growth_bytes(self, folder: str) -> int:
        """Return by how much all disks in a folder can grow together."""
        return sum(self._growth_bytes(path, format)
                   for path, format in self._disks(folder).items())

    def keep_only(self, folders: Container[str]) -> None:
        """Forget those that are not there any more.

        A thread that hung may be looking again meanwhile.
        """
        self._formats = {
            folder: known for folder, known in self._formats.copy().items()
            if folder in folders}
        self._sizes_bytes = {
            path: known for path, known in self._sizes_bytes.copy().items()
            if os.path.dirname(path) in self._formats}

    def _disks(self, folder: str) -> Mapping[str, str]:
        """Return the format of each disk, by path."""
        path = os.path.join(folder, RECORD)
        try:
            mark = _mark(os.stat(path))
        except OSError:
            return {}
        known = self._formats.get(folder)
        if known is None or known[0] != mark:
            try:
                known = mark, _formats(folder)
            except exception.StorageFailure:
                # It may be read the next time; nothing tells.
                return {} if known is None else known[1]
            self._formats[folder] = known
        return known[1]

    def _growth_bytes(self, path: str, format: str) -> int:
        try:
            status = os.stat(path)
            mark = _mark(status)
            known = self._sizes_bytes.get(path)
            if known is None or known[0] != mark:
                known = self._sizes_bytes[path] = (
                    mark, size_bytes(path, format, status))
        except (OSError, ValueError):
            return 0
        return max(0, known[1] - status.st_blocks * BLOCK_BYTES)


def formats(folder: str) -> dict[str, str]:
    """Return the format of each disk in a folder, by path."""
    try:
        return _formats(folder)
    except exception.StorageFailure:
        return {}


def size_bytes(path: str, format: str, status: os.stat_result) -> int:
    """Return the size of a disk as its guest sees it.

    :param status: of the file
    :raises OSError: it cannot be read
    :raises ValueError: it is no file, or no image of that format
    """
    if not stat.S_ISREG(status.st_mode):
        # To open a pipe waits for whoever writes to it.
        raise ValueError(f'{path} is no file')
    if format != 'qcow2':
        return status.st_size
    with open(path, 'rb', buffering=0) as file:
        return qcow2_header.virtual_size_bytes(
            file.read(qcow2_header.SIZE_WITHIN_BYTES))


def _formats(folder: str) -> dict[str, str]:
    found = record.read_all(os.path.join(folder, RECORD))
    return {path: format for path, format in found.items()
            if os.path.dirname(path) == folder}


def _mark(status: os.stat_result) -> _Mark:
    return status.st_ino, status.st_size, status.st_mtime_ns
