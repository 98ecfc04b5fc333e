# SPDX-License-Identifier: Apache-2.0

"""How much room all instances take, and may come to take.

A file system that does not answer costs its instance only: what was known of
that counts on.
"""

import os
import pathlib

from oslo_log import log as logging
import psutil

from nova_libvirt_driver.connection import calls as calls_module
from nova_libvirt_driver.connection import shared
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.storage import disk_sizes
from nova_libvirt_driver.storage import usage
from nova_libvirt_driver.storage import walk as walk_module

LOG = logging.getLogger(__name__)

# How many folders may begin to hang within one survey.
_TRIES = 3


class Survey:
    """Looks at everything below the folder of the instances.

    :param calls: runs it on native threads; not those that libvirt needs
    :param timeout_s: how long it may take
    :param max_age_s: how old an answer may be
    """

    def __init__(
            self, instances_path: str, calls: calls_module.Calls, *,
            timeout_s: float, max_age_s: float) -> None:
        self._path = instances_path
        self._calls = calls
        # The outline, and each try with as long again for one that hangs.
        self._step_s = timeout_s / (1 + 2 * _TRIES)
        self._shared = shared.Shared(self._look, max_age_s=max_age_s)
        self._sizes = disk_sizes.DiskSizes()
        # By folder.
        self._hung: dict[str, walk_module.Walk] = {}
        self._growth_bytes: dict[str, int] = {}

    def take(self) -> disk_spec.DiskRoom:
        """Return how the file system of the instances is.

        Runs no program. What goes away meanwhile, or cannot be read, counts
        as nothing.

        :raises StorageFailure: it does not answer at all
        """
        return self._shared.get().value

    def _look(self) -> disk_spec.DiskRoom:
        found = self._outline()
        self._hung = {folder: walk for folder, walk in self._hung.items()
                      if not walk.ended}
        # Those that were never looked at come first.
        left = sorted((folder for folder in found.folders
                       if folder not in self._hung),
                      key=lambda folder: folder in self._growth_bytes)
        for _ in range(_TRIES):
            if not left:
                break
            left = self._walk(walk_module.Walk(
                left, self._sizes, self._step_s))
        if left:
            LOG.warning('%d of %d folders of instances were not looked at in '
                        'time; what was known of them counts on.',
                        len(left), len(found.folders))
        there = frozenset(found.folders)
        self._growth_bytes = {
            folder: growth_bytes
            for folder, growth_bytes in self._growth_bytes.items()
            if folder in there}
        self._sizes.keep_only(self._growth_bytes)
        return disk_spec.DiskRoom(
            total_bytes=found.total_bytes, used_bytes=found.used_bytes,
            free_bytes=found.free_bytes,
            image_cache_bytes=found.image_cache_bytes,
            growth_bytes=sum(self._growth_bytes.values()))

    def _outline(self) -> '_Outline':
        try:
            return self._calls.run(
                lambda: _Outline(self._path), timeout_s=self._step_s,
                name='looking at the file system of the instances')
        except (exception.CallTimeout,
                exception.CallBudgetExhausted) as error:
            raise exception.StorageFailure(
                reason=f'the file system of {self._path} does not answer '
                f'within {self._step_s:g} s', path=self._path) from error

    def _walk(self, walk: walk_module.Walk) -> list[str]:
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
                'The disks in %s do not answer within %g s; what was known '
                'of them counts on.', folder, self._step_s)
        except exception.CallBudgetExhausted as error:
            LOG.warning('The disks of the instances are not looked at: %s',
                        error)
        self._growth_bytes.update(walk.growth_bytes.copy())
        return walk.left()


class _Outline:
    """What there is, without a look into the folders."""

    def __init__(self, path: str) -> None:
        folder = pathlib.Path(path)
        while not os.path.isdir(folder):
            # It is made later.
            folder = folder.parent
        room = psutil.disk_usage(str(folder))
        self.total_bytes = room.total
        self.used_bytes = room.used
        self.free_bytes = room.free
        self.image_cache_bytes = usage.image_cache_bytes(path)
        self.folders = _folders(path)


def _folders(instances_path: str) -> list[str]:
    try:
        with os.scandir(instances_path) as entries:
            return [entry.path for entry in entries
                    if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
