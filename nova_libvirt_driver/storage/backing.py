# SPDX-License-Identifier: Apache-2.0

"""Which cached image a disk is based on, from the header that QEMU wrote.

For keeping images, for bringing one back, and for copying a disk whose
recorded format is qcow2: the header of such a one no guest can write. A tenant
can write any header to a raw disk: it gives neither a guest nor a tool
anything.
"""

from collections.abc import Iterator
import dataclasses
import os
import stat

from nova_libvirt_driver.storage import image_file
from nova_libvirt_driver.storage import qcow2_header

# Disks that this driver or Nova makes have one.
_DEPTH_MAX = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Base:
    """A file that a disk is based on, or the disk itself."""

    path: str
    format: str
    """Empty when the header does not say."""


def base(path: str) -> Base | None:
    """Return what a qcow2 disk is based on, None without a backing file.

    A relative name counts from the folder of the disk.

    :raises OSError: the disk cannot be read
    :raises PrivilegesMissing: this user may not read it
    """
    with image_file.opened(path) as file:
        found = qcow2_header.backing_file(file)
    if found is None:
        return None
    name, format = found
    return Base(os.path.normpath(os.path.join(
        os.path.dirname(path), os.fsdecode(name))), format)


def chain(path: str) -> Iterator[Base]:
    """Yield what a disk is based on, what that is based on, and so on.

    The last one may be gone. What is neither a file nor a block device is
    based on nothing.

    :raises OSError: one of them cannot be read
    :raises PrivilegesMissing: this user may not read one of them
    """
    seen: set[tuple[int, int]] = set()
    while True:
        status = os.stat(path)
        identity = status.st_dev, status.st_ino
        if identity in seen or not (
                stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)):
            return
        seen.add(identity)
        found = base(path)
        if found is None:
            return
        yield found
        if not os.path.exists(found.path):
            return
        path = found.path


def layers(path: str, format: str) -> tuple[Base, ...]:
    """Return the files that make up a disk, that which is written first.

    :param format: the recorded one; only a qcow2 disk is based on another
    :raises OSError: one of them cannot be read
    """
    found = [Base(path, format)]
    while found[-1].format == 'qcow2' and len(found) < _DEPTH_MAX:
        below = base(found[-1].path)
        if below is None:
            break
        found.append(below)
    return tuple(found)
