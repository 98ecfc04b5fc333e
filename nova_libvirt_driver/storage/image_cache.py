# SPDX-License-Identifier: Apache-2.0

"""Images fetched to this host, for guests to share.

An image is ``_base/<key>``, where the key derives from its identifier alone;
what it is was written down in ``<key>.json`` beside it. ``.locks/<key>`` is
locked by the one who brings it, and shared by those who use it.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Set
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import random
import re
import stat
import tempfile
import time
from typing import Any

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage import backing
from nova_libvirt_driver.storage import failure
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import image_fetch
from nova_libvirt_driver.storage import inspection
from nova_libvirt_driver.storage import qemu_img as qemu_img_module
from nova_libvirt_driver.storage import usage

LOG = logging.getLogger(__name__)

_KEY = re.compile(r'[0-9a-f]{40}')
# A record, or one that is being written.
_RECORD = re.compile(r'\.?([0-9a-f]{40})\.json(?:\..*)?')
_POLL_S = 0.02


class ImageCache:
    """Keeps images.

    :param group_id: returns QEMU's group, which has to read them
    """

    def __init__(
            self, policy: policy_spec.StoragePolicy,
            qemu_img: qemu_img_module.QemuImg,
            group_id: Callable[[], int | None] = lambda: None) -> None:
        self._policy = policy
        self._qemu_img = qemu_img
        self._group_id = group_id
        self._folder = policy.image_cache_path
        self._locks = os.path.join(self._folder, '.locks')

    @contextlib.contextmanager
    def using(
            self, image_id: str, images: ports.ImageSource,
            progress: ports.Progress, *, at_most_bytes: int | None = None,
            ) -> Iterator[image_spec.CachedImage]:
        """Have an image in the cache, which stays there meanwhile.

        Brings it when it is not there; of several who want it one does,
        the others wait. It is checked at each use.

        :param at_most_bytes: an image with a larger disk is not fetched
        :raises ImageNotFound: there is none
        :raises ImageRefused: it is not what it is declared to be
        :raises FlavorTooSmall: its disk is larger than that
        :raises StorageFailure: there is no room, or it cannot be had
        """
        key = key_of(image_id)
        with self._naming():
            self._make_folders()
            lock, fetched = self._lease(key, progress, functools.partial(
                self._bring, key, image_id, images, progress, at_most_bytes))
        try:
            with self._naming():
                facts = self._checked(key, image_id, images)
            yield image_spec.CachedImage(
                self._path(key), facts.format, facts.virtual_size_bytes,
                fetched)
        finally:
            os.close(lock)

    def bring(
            self, image_id: str, images: ports.ImageSource,
            progress: ports.Progress) -> bool:
        """Fetch an image; return False when it was here.

        :raises DriverError: see :meth:`using`
        """
        with self.using(image_id, images, progress) as cached:
            return cached.fetched

    def bring_back(
            self, base: backing.Base, image_id: str,
            images: ports.ImageSource, progress: ports.Progress) -> None:
        """See that an image is here which a disk is based on.

        One that is gone is fetched again, if it is that image's.

        :param image_id: image that the disk was made from
        :raises StorageFailure: it is gone and cannot be had, or what is
            there is of another format than when the disk was made
        """
        key = os.path.basename(base.path)
        is_ours = _KEY.fullmatch(key) is not None and os.path.realpath(
            os.path.dirname(base.path)) == os.path.realpath(self._folder)
        if not os.path.exists(base.path):
            if not is_ours or not image_id or key != key_of(image_id):
                raise _gone(base.path, 'it is not known from which image it '
                            'came: put the file back')
            try:
                with self.using(image_id, images, progress):
                    LOG.info('Fetched image %s again, which was missing '
                             'from the cache', image_id)
            except (exception.ImageNotFound,
                    exception.ImageRefused) as error:
                raise _gone(base.path, str(error)) from error
        known = self._read_record(key) if is_ours else None
        if known is not None and base.format not in ('', known.format):
            raise exception.StorageFailure(
                reason=f'{base.path} is {known.format}, and was '
                f'{base.format} when the disk was made that is based on it: '
                'see [DEFAULT] force_raw_images', path=base.path)

    def sweep(
            self, find_used: Callable[[], Set[str]],
            min_age_s: float) -> list[str]:
        """Remove images that have not been used for long.

        :param find_used: returns the keys of the images that are in use;
            they stay, and are as young as if they were just fetched
        :param min_age_s: for how long the others have not been used
        :returns: what was removed
        :raises StorageFailure: the cache cannot be read
        """
        with self._naming():
            keys = list(filter(_KEY.fullmatch, _names(self._folder)))
            if not keys:
                return []
            # Taken before it is looked who uses what: an image that is used
            # meanwhile is not older than this.
            limit = self._now() - min_age_s
        used = find_used()
        with self._naming():
            for key in used & set(keys):
                self._touch(key)
            return [self._path(key) for key in keys
                    if key not in used and self._remove_older(key, limit)]

    def sweep_temporaries(self) -> list[str]:
        """Remove what killed processes have left half made.

        :returns: what was removed
        :raises StorageFailure: the cache cannot be read
        """
        with self._naming():
            names = _names(self._folder)
            removed = [self._path(name) for name in names
                       if self._is_left(name)
                       and self._remove_temporary(name)]
            for key in set(filter(
                    _KEY.fullmatch, _names(self._locks))) - set(names):
                with self._held(key):
                    pass
            return removed

    def _is_left(self, name: str) -> bool:
        """Say whether a file is of use only while an image is fetched."""
        if name.endswith(image_fetch.PART_SUFFIX):
            # Former versions did not write down the host.
            return '@' not in name or name.endswith(
                image_fetch.part_end(self._policy.host))
        found = _RECORD.fullmatch(name)
        return found is not None and (
            name.startswith('.')
            or not os.path.lexists(self._path(found[1])))

    def _lease(
            self, key: str, progress: ports.Progress,
            bring: Callable[[], None]) -> tuple[int, bool]:
        """Return a shared lock on an image, and whether this call fetched it.

        :param bring: gets it, under a lock that is not shared
        """
        while True:
            lock = locking.try_lock(
                os.path.join(self._locks, key), shared=True)
            if lock is not None:
                if os.path.exists(self._path(key)):
                    return lock, False
                os.close(lock)
                with self._held(key) as lock:
                    if lock is not None and (
                            not os.path.exists(self._path(key))):
                        bring()
                        # Shared without a moment in which others sweep.
                        if locking.lock_open(lock, shared=True):
                            return os.dup(lock), True
            # Also a chance to give up.
            progress.advance(0, 0)
            time.sleep(_POLL_S * (1 + random.random()))  # nosec

    @contextlib.contextmanager
    def _held(self, key: str) -> Iterator[int | None]:
        """Lock an image if it is not in use.

        The file of the lock goes when there is no image at the end.
        """
        os.makedirs(self._locks, mode=0o750, exist_ok=True)
        path = os.path.join(self._locks, key)
        lock = locking.try_lock(path)
        try:
            yield lock
        finally:
            if lock is not None:
                if not os.path.exists(self._path(key)):
                    _remove(path)
                os.close(lock)

    def _bring(
            self, key: str, image_id: str, images: ports.ImageSource,
            progress: ports.Progress, at_most_bytes: int | None) -> None:
        path = self._path(key)
        # First: it may fail, and fetching an image may take long.
        group_id = self._group_id()
        part, facts = image_fetch.Fetch(
            self._policy, self._qemu_img, images.show(image_id), images,
            progress, at_most_bytes=at_most_bytes).run(path)
        try:
            folder_module.let_group_in(part, group_id)
            # The record first: without it the image could not be checked.
            self._record(key, facts)
            os.rename(part, path)
        except BaseException:
            _remove(part)
            _remove(f'{path}.json')
            raise
        atomic.sync(self._folder)

    def _checked(
            self, key: str, image_id: str,
            images: ports.ImageSource) -> inspection.Facts:
        path = self._path(key)
        known = self._read_record(key)
        if known is None:
            # Fetched by Nova's own driver, which keeps no record: it is
            # what it would have to be, or it is refused.
            facts = inspection.inspect(
                path, self._expected(image_id, images), image=image_id)
            self._record(key, facts)
        else:
            facts = inspection.inspect(path, known.format, image=image_id)
            if facts != known:
                raise exception.ImageRefused(
                    image=image_id, reason=f'{path} has another size than '
                    'when it was fetched: it was changed')
        self._touch(key)
        return facts

    def _expected(self, image_id: str, images: ports.ImageSource) -> str:
        if self._policy.force_raw_images:
            return str(image_spec.DiskFormat.RAW)
        return images.show(image_id).disk_format

    def _record(self, key: str, facts: inspection.Facts) -> None:
        atomic.write(f'{self._path(key)}.json', json.dumps({
            'format': facts.format,
            'virtual_size': facts.virtual_size_bytes}).encode())

    def _read_record(self, key: str) -> inspection.Facts | None:
        path = f'{self._path(key)}.json'
        try:
            found = records.load(path)
            return inspection.Facts(
                image_spec.DiskFormat(found['format']),
                int(found['virtual_size']))
        except FileNotFoundError:
            return None
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise exception.StorageFailure(
                reason=f'the record {path} is damaged', path=path) from error

    def _remove_older(self, key: str, limit: float) -> bool:
        path = self._path(key)
        with self._held(key) as lock, contextlib.suppress(FileNotFoundError):
            # Looked at under the lock: it may have been used just now.
            if lock is not None and stat.S_ISREG(os.lstat(path).st_mode) and (
                    self._last_use(key) < limit):
                _remove(path)
                _remove(f'{path}.json')
                return True
        return False

    def _now(self) -> float:
        # By the clock of the file system: that of a server of files may be
        # another one, and even here it lags by some milliseconds.
        with tempfile.TemporaryFile(dir=self._folder) as file:
            return os.fstat(file.fileno()).st_mtime

    def _touch(self, key: str) -> None:
        # The image may be QEMU's while a guest has it; the record is ours.
        for path in (self._path(key), f'{self._path(key)}.json'):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                os.utime(path, follow_symlinks=False)

    def _last_use(self, key: str) -> float:
        used = os.lstat(self._path(key)).st_mtime
        with contextlib.suppress(FileNotFoundError):
            used = max(used, os.lstat(f'{self._path(key)}.json').st_mtime)
        return used

    def _remove_temporary(self, name: str) -> bool:
        key = name.removeprefix('.').partition('.')[0]
        # Who fills the file has it locked; who converts it has only this.
        with self._held(key) as lock:
            # Looked at under the lock: a record may have its image by now.
            part = locking.try_lock(self._path(name), create=False) if (
                lock is not None and self._is_left(name)) else None
            if part is None:
                return False
            _remove(self._path(name))
            os.close(part)
            return True

    def _make_folders(self) -> None:
        for path in (self._policy.instances_path, self._folder, self._locks):
            folder_module.ensure(path, self._group_id)

    def _naming(self) -> contextlib.AbstractContextManager[None]:
        return failure.naming(f'the image cache {self._folder}', self._folder)

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One image in the cache."""

    key: str
    format: str
    """Empty for one that has no record."""
    virtual_size_bytes: int | None
    taken_bytes: int
    """What it takes of the host's file system."""
    used_at: float
    """When a guest was made of it last; seconds since the epoch."""


def entries(folder: str) -> list[Entry]:
    """Return the images in a cache.

    :raises StorageFailure: it cannot be read
    """
    with failure.naming(f'the image cache {folder} cannot be read', folder):
        return [entry for key in sorted(filter(
            _KEY.fullmatch, _names(folder)))
            if (entry := _entry(os.path.join(folder, key))) is not None]


def _entry(path: str) -> Entry | None:
    record: dict[str, Any] = {}
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    used_at = status.st_mtime
    # It is of one that Nova's own driver has fetched, or is damaged.
    with contextlib.suppress(OSError, ValueError):
        record = records.load(f'{path}.json')
        used_at = max(used_at, os.lstat(f'{path}.json').st_mtime)
    size = record.get('virtual_size')
    return Entry(
        key=os.path.basename(path), format=str(record.get('format', '')),
        virtual_size_bytes=size if type(size) is int else None,
        taken_bytes=status.st_blocks * usage.BLOCK_BYTES, used_at=used_at)


def key_of(image_id: str) -> str:
    """Return the key of an image: the name of its file in the cache."""
    # Never a path; and the name that Nova's own driver gives it.
    return hashlib.sha1(
        image_id.encode(), usedforsecurity=False).hexdigest()


def _gone(path: str, why: str) -> exception.StorageFailure:
    return exception.StorageFailure(
        reason=f'the cached image {path} is gone, and a disk is based on it; '
        f'it cannot be fetched again: {why}', path=path)


def _names(folder: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(os.listdir(folder))
    return []


def _remove(path: str) -> None:
    pathlib.Path(path).unlink(missing_ok=True)
