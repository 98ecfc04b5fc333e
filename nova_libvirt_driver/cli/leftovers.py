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
import json
import os
import re
import time
from urllib import parse

from nova_libvirt_driver import exception
from nova_libvirt_driver.images import folder as image_folder
from nova_libvirt_driver.images import local as local_images
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module

IMAGE, FOLDER, PART = 'image', 'instance', 'part of an image'

_MOUNTS, _EXPORTS = '/proc/self/mountinfo', '/var/lib/nfs/etab'
_NOVA_HOSTS = 'compute_nodes'
"""File in which Nova's services that have a folder of instances sign."""

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
        domains: Collection[str]) -> tuple[list[Leftover], str]:
    """Return folders of instances of which libvirt has no domain.

    Leaves out those that an operation is about, those with a file that some
    process has open, and all of a file system that other hosts may have.

    :param domains: uuids of all domains of this host
    :returns: also why other hosts may have them, empty if none may
    """
    reason = shared_by(instances_path, host)
    if reason:
        return [], reason
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
    paths = [os.path.join(os.path.realpath(instances_path), name)
             for name in names]
    return [Leftover(FOLDER, path, 'libvirt has no domain of it', name)
            for name, path in zip(names, paths, strict=True)
            if not any(file.startswith(f'{path}/') for file in opened)], ''


def shared_by(
        instances_path: str, host: str, *, mounts: str = _MOUNTS,
        exports: str = _EXPORTS) -> str:
    """Say why other hosts may have instances in a folder; empty if none may.

    What cannot be read may say that they have. Nova's own way is to forget a
    host that has not signed for 24 hours, but only to remove what can be
    fetched again.

    :param host: name of this host
    :param mounts: file with the mounts that this process sees
    :param exports: file with what this host exports by NFS, see exportfs(8)
    """
    real = os.path.realpath(instances_path)
    try:
        kind = _file_system(real, mounts)
        if kind not in _LOCAL:
            return f'its file system is {kind or "not known"}'
        for path in _exported(exports):
            if os.path.commonpath([real, path]) in (real, path):
                return f'this host exports {path} by NFS'
        return next((words for user, words in sorted(_users(real))
                     if user not in (host, journal_module.quoted(host))), '')
    except OSError as error:
        return f'{error.filename} cannot be read: {error.strerror}'


def _file_system(path: str, mounts: str) -> str:
    found = ('', '')
    with open(mounts, encoding='utf-8', errors='replace') as file:
        for line in file:
            before, _, after = line.partition(' - ')
            place = _unescaped(before.split()[4])
            if os.path.commonpath([path, place]) == place and (
                    len(place) >= len(found[0])):
                found = (place, after.split()[0])
    return found[1]


def _exported(exports: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError), open(
            exports, encoding='utf-8', errors='replace') as file:
        return [_unescaped(line.split()[0]) for line in file
                if line.startswith('/')]
    return []


def _users(path: str) -> Iterator[tuple[str, str]]:
    """Yield the hosts that have signed, or have left files of operations.

    :returns: with each of them, what tells of it, in words
    """
    signed = os.path.join(path, _NOVA_HOSTS)
    with contextlib.suppress(FileNotFoundError, TypeError, ValueError), open(
            signed, encoding='utf-8') as file:
        for host, moment in dict(json.load(file)).items():
            yield host, (
                f'host {host} has worked in it, as {signed} says, last '
                f'{_ago(float(moment))} (if that host is gone, remove its '
                'name there)')
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(os.path.join(path, journal_module.FOLDER)):
            _, sign, after = entry.name.partition('@')
            if sign:
                host = after.removesuffix('.new').rpartition('.')[0]
                yield host, (
                    f'host {parse.unquote(host)} has worked in it, as '
                    f'{entry.path} says, {_ago(entry.stat().st_mtime)} (if '
                    'that host is gone, remove that file)')


def _ago(moment: float) -> str:
    return f'{journal_module.age(time.time() - moment)} ago'


def _unescaped(path: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), path)


def _open_files() -> frozenset[str]:
    """Return what processes have open that this one may look at."""
    found = set()
    for link in glob.iglob('/proc/[0-9]*/fd/*'):
        with contextlib.suppress(OSError):
            found.add(os.readlink(link))
    return frozenset(found)
