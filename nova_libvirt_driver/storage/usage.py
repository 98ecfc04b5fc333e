# SPDX-License-Identifier: Apache-2.0

"""How much room one instance takes, and the cached images take."""

from collections.abc import Iterator
import contextlib
import os

from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.storage import backing
from nova_libvirt_driver.storage import disk_sizes
from nova_libvirt_driver.storage import folder as folder_module

_CACHE = '_base'


class Usage:
    """Looks at the files below the folder of the instances.

    No program is run. What goes away meanwhile, or cannot be read, counts as
    nothing.
    """

    def __init__(self, instances_path: str) -> None:
        self._path = instances_path

    def disks(self, uuid: str) -> list[disk_spec.DiskUse]:
        """Return the disks in the folder of one instance.

        :raises InvalidRequest: the uuid is none
        """
        return list(_disks(
            folder_module.InstanceFolder(self._path, uuid).path))


def image_cache_bytes(instances_path: str) -> int:
    """Return the room that cached images take."""
    total_bytes = 0
    with contextlib.suppress(OSError), os.scandir(
            os.path.join(instances_path, _CACHE)) as entries:
        for entry in entries:
            # It may go away meanwhile.
            with contextlib.suppress(OSError):
                total_bytes += disk_sizes.BLOCK_BYTES * entry.stat(
                    follow_symlinks=False).st_blocks
    return total_bytes


def _disks(folder: str) -> Iterator[disk_spec.DiskUse]:
    for path, format in disk_sizes.formats(folder).items():
        # What is no disk, or goes away, is left out.
        with contextlib.suppress(OSError, ValueError):
            yield _disk(path, format)


def _disk(path: str, format: str) -> disk_spec.DiskUse:
    status = os.stat(path)
    return disk_spec.DiskUse(
        path=path, format=format,
        size_bytes=disk_sizes.size_bytes(path, format, status),
        taken_bytes=status.st_blocks * disk_sizes.BLOCK_BYTES,
        backing_file=backing.backing_file(path) if format == 'qcow2'
        else None)
