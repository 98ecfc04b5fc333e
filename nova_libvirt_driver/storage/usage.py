# SPDX-License-Identifier: Apache-2.0

"""How much room instances and cached images take, and may come to take."""

from collections.abc import Iterator
import contextlib
import os

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.storage import backing
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import qcow2_header
from nova_libvirt_driver.storage import record

_BLOCK_BYTES = 512
_RECORD = 'disk.info'
_CACHE = '_base'


class Usage:
    """Looks at the files below the folder of the instances.

    No program is run. What goes away meanwhile, or cannot be read, counts as
    nothing.
    """

    def __init__(self, instances_path: str) -> None:
        self._path = instances_path

    def growth_bytes(self) -> int:
        """Return by how much all disks together can still grow."""
        return sum(disk.growth_bytes for folder in _folders(self._path)
                   for disk in _disks(folder))

    def disks(self, uuid: str) -> list[disk_spec.DiskUse]:
        """Return the disks in the folder of one instance.

        :raises InvalidRequest: the uuid is none
        """
        return list(_disks(
            folder_module.InstanceFolder(self._path, uuid).path))

    def image_cache_bytes(self) -> int:
        """Return the room that cached images take."""
        total_bytes = 0
        with contextlib.suppress(OSError), os.scandir(
                os.path.join(self._path, _CACHE)) as entries:
            for entry in entries:
                # It may go away meanwhile.
                with contextlib.suppress(OSError):
                    total_bytes += _BLOCK_BYTES * entry.stat(
                        follow_symlinks=False).st_blocks
        return total_bytes


def _disks(folder: str) -> Iterator[disk_spec.DiskUse]:
    try:
        formats = record.read_all(os.path.join(folder, _RECORD))
    except exception.StorageFailure:
        return
    for path, format in formats.items():
        if os.path.dirname(path) == folder:
            disk = _disk(path, format)
            if disk is not None:
                yield disk


def _folders(instances_path: str) -> list[str]:
    try:
        with os.scandir(instances_path) as entries:
            return [entry.path for entry in entries
                    if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _disk(path: str, format: str) -> disk_spec.DiskUse | None:
    try:
        with open(path, 'rb') as file:
            status = os.fstat(file.fileno())
            size_bytes, backing_file = status.st_size, None
            if format == 'qcow2':
                size_bytes = qcow2_header.virtual_size_bytes(
                    file.read(qcow2_header.SIZE_WITHIN_BYTES))
                backing_file = backing.backing_file(path)
    except (OSError, ValueError):
        return None
    return disk_spec.DiskUse(
        path=path, format=format, size_bytes=size_bytes,
        taken_bytes=status.st_blocks * _BLOCK_BYTES,
        backing_file=backing_file)
