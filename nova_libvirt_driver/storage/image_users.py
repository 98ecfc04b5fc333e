# SPDX-License-Identifier: Apache-2.0

"""Which cached images are in use, from the disks that are on this host.

Any layout counts: folders of instances, of resizes that are not confirmed
(``<uuid>_resize``), of snapshots, links to other file systems, overlays over
overlays. An image that may be in use is in use: a disk without its image is
lost.
"""

from collections.abc import Iterable
import os
import re

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage import backing

# A key of the image cache. Nova's older drivers kept resized images, too:
# ``<key>_20``.
_KEY = re.compile(r'(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])')

# An instance's folder, and one folder more, as in ``snapshots/<id>/copy``.
_DEPTH = 2

# It is not a disk, and often only root may read it.
_CONSOLE_LOG = 'console.log'

_TRIES = 5


def keys_in(text: str) -> set[str]:
    """Return what may be keys of cached images in a text."""
    return set(_KEY.findall(text))


def of_disks(paths: Iterable[str]) -> set[str]:
    """Return the keys of the images that disks are based on.

    :param paths: what is not a file of this host, or is gone, counts as based
        on nothing
    :raises StorageFailure: a disk cannot be read
    """
    used: set[str] = set()
    for path in paths:
        try:
            used |= _of_disk(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unknown(path, error.strerror or str(error)) from error
    return used


def below(folder: str, image_cache: str) -> set[str]:
    """Return the keys of the images that disks in a folder are based on.

    :param image_cache: folder that is left out
    :raises StorageFailure: something there cannot be read, or is a link
        that leads nowhere: what it is based on is not known
    """
    for _ in range(_TRIES):
        try:
            return _below(folder, image_cache, _DEPTH)
        except FileNotFoundError:
            # An instance is being removed, or made: look again.
            continue
        except OSError as error:
            raise _unknown(error.filename or folder,
                           error.strerror or str(error)) from error
    raise _unknown(folder, 'it changes all the time')


def _below(folder: str, image_cache: str, depth: int) -> set[str]:
    used: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink() and not os.path.exists(entry.path):
                raise _unknown(entry.path, 'it is a link that leads nowhere')
            if entry.name.startswith(_CONSOLE_LOG):
                continue
            if not entry.is_dir():
                used |= _of_disk(entry.path)
            elif depth and not _is_same(entry.path, image_cache):
                used |= _below(entry.path, image_cache, depth - 1)
    return used


def _of_disk(path: str) -> set[str]:
    used: set[str] = set()
    for base in backing.chain(path):
        # The name as it is written covers other mounts and JSON; the real
        # one covers links.
        used |= keys_in(base.path) | keys_in(os.path.realpath(base.path))
    return used


def _is_same(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except FileNotFoundError:
        return False


def _unknown(path: str, why: str) -> exception.StorageFailure:
    return exception.StorageFailure(
        reason=f'no cached image is removed, because {path} cannot be '
        f'checked for the image it is based on: {why}', path=path)
