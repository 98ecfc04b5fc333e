# SPDX-License-Identifier: Apache-2.0

"""How much room all instances take, and may come to take.

A file system that does not answer costs its instance only: what was known of
that counts on.
"""

import contextlib
import dataclasses
import os
import pathlib
import time

from oslo_log import log as logging
import psutil

from nova_libvirt_driver.calls import calls as calls_module
from nova_libvirt_driver.calls import shared
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import usage

LOG = logging.getLogger(__name__)

# How many folders may begin to hang within one survey.
_TRIES = 3


class Walk:
    """A walk through folders, on a native thread.

    :param time_s: after which it ends by itself
    :ivar growth_bytes: by how much the disks can grow, by folder
    :ivar ended: the thread has come back
    """

    def __init__(
            self, folders: list[str], sizes: usage.DiskSizes,
            time_s: float) -> None:
        self._folders = folders
        self._sizes = sizes
        self._time_s = time_s
        self._number = 0
        self._is_given_up = False
        self._behind: list[str] = []
        self.ended = False
        self.growth_bytes: dict[str, int] = {}

    def run(self) -> None:
        """Look at one after the other."""
        deadline_s = time.monotonic() + self._time_s
        try:
            for folder in self._folders:
                if self._is_given_up or time.monotonic() > deadline_s:
                    return
                self.growth_bytes[folder] = self._sizes.growth_bytes(folder)
                self._number += 1
        finally:
            self.ended = True

    def give_up(self) -> str:
        """Return the folder that hangs; it is not waited for any more."""
        # The thread may go on to another one at this very moment.
        number, self._is_given_up = self._number, True
        self._behind = self._folders[number + 1:]
        return self._folders[min(number, len(self._folders) - 1)]

    def left(self) -> list[str]:
        """Return those that were not looked at, but for one that hangs."""
        if self._is_given_up:
            return self._behind
        return self._folders[self._number:]


class Survey:
    """Looks at everything below the folder of the instances.

    :param image_cache_path: folder of the image cache
    :param calls: runs it on native threads; not those that libvirt needs
    :param timeout_s: how long it may take
    :param max_age_s: how old an answer may be
    """

    def __init__(
            self, instances_path: str, image_cache_path: str,
            calls: calls_module.Calls, *, timeout_s: float,
            max_age_s: float) -> None:
        self._path = instances_path
        self._image_cache_path = image_cache_path
        self._calls = calls
        # The outline, and each try with as long again for one that hangs.
        self._step_s = timeout_s / (1 + 2 * _TRIES)
        self._shared = shared.Shared(self._look, max_age_s=max_age_s)
        self._sizes = usage.DiskSizes()
        # By folder.
        self._hung: dict[str, Walk] = {}
        self._growth_bytes: dict[str, int] = {}

    def take(self) -> disk_spec.DiskRoom:
        """Return how the file system of the instances is.

        Runs no program. What goes away meanwhile, or cannot be read, counts
        as nothing.

        :raises StorageFailure: it does not answer at all
        """
        return self._shared.get().value

    def rescued(self) -> frozenset[str]:
        """Return the uuids of the guests that are in rescue.

        One that cannot be looked at in time counts as not.
        """
        try:
            return self._calls.run(
                lambda: _rescued(self._path), timeout_s=self._step_s,
                name='looking for guests in rescue')
        except (exception.CallTimeout,
                exception.CallBudgetExhausted) as error:
            LOG.debug('Cannot see which guests are in rescue: %s', error)
            return frozenset()

    def _look(self) -> disk_spec.DiskRoom:
        room, folders = self._outline()
        self._hung = {folder: walk for folder, walk in self._hung.items()
                      if not walk.ended}
        # Those that were never looked at come first.
        left = sorted((folder for folder in folders
                       if folder not in self._hung),
                      key=lambda folder: folder in self._growth_bytes)
        for _ in range(_TRIES):
            if not left:
                break
            left = self._walk(Walk(
                left, self._sizes, self._step_s))
        if left:
            LOG.warning('Did not get to %d of %d instance folders in time, '
                        'using their last known sizes',
                        len(left), len(folders))
        there = frozenset(folders)
        self._growth_bytes = {
            folder: growth_bytes
            for folder, growth_bytes in self._growth_bytes.items()
            if folder in there}
        self._sizes.keep_only(self._growth_bytes)
        return dataclasses.replace(
            room, growth_bytes=sum(self._growth_bytes.values()))

    def _outline(self) -> tuple[disk_spec.DiskRoom, list[str]]:
        try:
            return self._calls.run(
                lambda: _outline(self._path, self._image_cache_path),
                timeout_s=self._step_s,
                name='looking at the file system of the instances')
        except (exception.CallTimeout,
                exception.CallBudgetExhausted) as error:
            raise exception.StorageFailure(
                reason=f'the file system of {self._path} does not answer '
                f'within {self._step_s:g} s', path=self._path) from error

    def _walk(self, walk: Walk) -> list[str]:
        """Look at folders, and return those that are left to be looked at."""
        try:
            # It ends by itself before that, unless a folder hangs.
            self._calls.run(
                walk.run, timeout_s=2 * self._step_s,
                name='looking at the disks of the instances')
        except exception.CallTimeout:
            folder = walk.give_up()
            self._hung[folder] = walk
            LOG.warning(
                'The disks in %s do not answer within %g s, using their '
                'last known sizes', folder, self._step_s)
        except exception.CallBudgetExhausted as error:
            LOG.warning('Cannot look at the disks of the instances: %s',
                        error)
        self._growth_bytes.update(walk.growth_bytes.copy())
        return walk.left()


def _outline(
        path: str, image_cache_path: str
) -> tuple[disk_spec.DiskRoom, list[str]]:
    """Return what there is, without a look into the folders, and those."""
    folder = pathlib.Path(path)
    while not os.path.isdir(folder):
        # It is created later.
        folder = folder.parent
    room = psutil.disk_usage(str(folder))
    return disk_spec.DiskRoom(
        total_bytes=room.total, used_bytes=room.used, free_bytes=room.free,
        image_cache_bytes=_bytes_of(image_cache_path), growth_bytes=0
    ), _folders(path)


def _rescued(instances_path: str) -> frozenset[str]:
    return frozenset(
        uuid for uuid in map(os.path.basename, _folders(instances_path))
        if instance_spec.is_uuid(uuid) and os.path.exists(
            folder_module.InstanceFolder(instances_path, uuid).unrescue_xml))


def _folders(instances_path: str) -> list[str]:
    try:
        with os.scandir(instances_path) as entries:
            return [entry.path for entry in entries
                    if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _bytes_of(folder: str) -> int:
    """Return the room that the files of a folder take."""
    total_bytes = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            # It may go away meanwhile.
            with contextlib.suppress(OSError):
                total_bytes += usage.BLOCK_BYTES * entry.stat(
                    follow_symlinks=False).st_blocks
    return total_bytes
