# SPDX-License-Identifier: Apache-2.0

"""What nothing belongs to any more: damaged images, and files of no guest.

Only a person can say that they are not wanted, so nothing removes them
by itself.
"""

from collections.abc import Collection
from collections.abc import Iterator
import contextlib
import dataclasses
import glob
import os
import re

from nova_libvirt_driver import exception
from nova_libvirt_driver.images import folder as image_folder
from nova_libvirt_driver.images import local as local_images
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module

IMAGE, FOLDER, PART = 'image', 'instance', 'part of an image'

_MOUNTS = '/proc/self/mountinfo'
# Any other may be on several hosts.
_LOCAL = ('bcachefs', 'btrfs', 'ext2', 'ext3', 'ext4', 'f2fs', 'jfs',
          'overlay', 'reiserfs', 'tmpfs', 'xfs', 'zfs')
_ESCAPED = re.compile(r'\\([0-7]{3})')


@dataclasses.dataclass(frozen=True, slots=True)
class Leftover:
    """One of them."""

    kind: str
    path: str
    reason: str
    id: str
    """Of the image or instance that it was."""


def of_images(path: str) -> Iterator[Leftover]:
    """Yield what is wrong with images of this host, and parts of some.

    :param path: folder of the images
    """
    folder = image_folder.ImageFolder(path)
    images = local_images.LocalImages(path)
    for image_id in folder.ids():
        try:
            images.show(image_id)
        except exception.StorageFailure as error:
            yield Leftover(IMAGE, folder.description(image_id),
                           str(error), image_id)
        except exception.ImageNotFound:
            # It was deleted meanwhile.
            continue
    for part in folder.left():
        yield Leftover(PART, part, 'left by a killed process', '')


def of_instances(
        instances_path: str, host: str,
        domains: Collection[str]) -> Iterator[Leftover]:
    """Yield folders of instances of which libvirt has no domain.

    Leaves out those that an operation is about, those with a file that some
    process has open, and all of a file system that other hosts may have.

    :param domains: uuids of all domains of this host
    """
    if _is_shared(instances_path):
        return
    busy = {note.uuid for note in journal_module.Journal(
        instances_path, host).notes()}
    names: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        names = sorted(entry.name for entry in os.scandir(instances_path)
                       if entry.is_dir(follow_symlinks=False)
                       and instance_spec.is_uuid(entry.name)
                       and entry.name not in domains
                       and entry.name not in busy)
    opened = _open_files() if names else frozenset()
    for name in names:
        path = os.path.join(os.path.realpath(instances_path), name)
        if not any(file.startswith(f'{path}/') for file in opened):
            yield Leftover(FOLDER, path, 'libvirt has no domain of it', name)


def _is_shared(path: str) -> bool:
    real = os.path.realpath(path)
    found = ('', '')
    with open(_MOUNTS, encoding='utf-8', errors='replace') as file:
        for line in file:
            before, _, after = line.partition(' - ')
            place = _ESCAPED.sub(
                lambda found: chr(int(found[1], 8)), before.split()[4])
            if os.path.commonpath([real, place]) == place and (
                    len(place) >= len(found[0])):
                found = (place, after.split()[0])
    return found[1] not in _LOCAL


def _open_files() -> frozenset[str]:
    """Return what processes have open that this one may look at."""
    found = set()
    for link in glob.iglob('/proc/[0-9]*/fd/*'):
        with contextlib.suppress(OSError):
            found.add(os.readlink(link))
    return frozenset(found)
