# SPDX-License-Identifier: Apache-2.0

"""How large the disks of instances are, and by how much they can grow.

No program is run, and what is not a file is not opened. What goes away
meanwhile, or cannot be read, counts as nothing.
"""

from collections.abc import Container
from collections.abc import Mapping
import contextlib
import os
import stat

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.storage import backing
from nova_libvirt_driver.storage import image_file
from nova_libvirt_driver.storage import qcow2_header
from nova_libvirt_driver.storage import record

BLOCK_BYTES = 512
"""The unit of ``st_blocks``."""

_RECORD = 'disk.info'

_Mark = tuple[int, int, int]


def disks(folder: str) -> list[disk_spec.DiskUse]:
    """Return the disks in the folder of one instance."""
    found = []
    with contextlib.suppress(exception.StorageFailure):
        for path, format in _formats(folder).items():
            with contextlib.suppress(
                    OSError, ValueError, exception.PrivilegesMissing):
                found.append(_disk(path, format))
    return found


class DiskSizes:
    """Looks at the disks of all instances, by the folder of each.

    What was read is kept: of a disk that has not changed since, only the
    status is read again.
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
        path = os.path.join(folder, _RECORD)
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
                    mark, _size_bytes(path, format, status))
        except (OSError, ValueError, exception.PrivilegesMissing):
            return 0
        return max(0, known[1] - status.st_blocks * BLOCK_BYTES)


def _disk(path: str, format: str) -> disk_spec.DiskUse:
    status = os.stat(path)
    base = backing.base(path) if format == 'qcow2' else None
    return disk_spec.DiskUse(
        path=path, format=format,
        size_bytes=_size_bytes(path, format, status),
        taken_bytes=status.st_blocks * BLOCK_BYTES,
        backing_file=None if base is None else base.path)


def _size_bytes(path: str, format: str, status: os.stat_result) -> int:
    """Return the size of a disk as its guest sees it.

    :param status: of the file
    :raises OSError: it cannot be read
    :raises PrivilegesMissing: this user may not read it
    :raises ValueError: it is not a file, or not an image of that format
    """
    if not stat.S_ISREG(status.st_mode):
        # To open a pipe waits for its writer.
        raise ValueError(f'{path} is not a file')
    if format != 'qcow2':
        return status.st_size
    with image_file.opened(path) as file:
        return qcow2_header.virtual_size_bytes(file)


def _formats(folder: str) -> dict[str, str]:
    found = record.read_all(os.path.join(folder, _RECORD))
    return {path: format for path, format in found.items()
            if os.path.dirname(path) == folder}


def _mark(status: os.stat_result) -> _Mark:
    return status.st_ino, status.st_size, status.st_mtime_ns
