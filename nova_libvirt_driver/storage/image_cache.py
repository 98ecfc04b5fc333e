# SPDX-License-Identifier: Apache-2.0

"""Images that were brought to this host, for guests to share.

An image is ``_base/<key>``, where the key is made of its identifier alone;
its format is in ``<key>.json`` beside it. ``.locks/<key>`` is locked by who
brings it, and shared by who uses it.
"""

from collections.abc import Iterator
from collections.abc import Set
import contextlib
import hashlib
import json
import os
import random
import re
import stat
import time

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage import file_lock
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import image_fetch
from nova_libvirt_driver.storage import inspection
from nova_libvirt_driver.storage import qemu_img as qemu_img_module

LOG = logging.getLogger(__name__)

_KEY = re.compile(r'[0-9a-f]{40}')
# A record, or one that is being written.
_RECORD = re.compile(r'\.?([0-9a-f]{40})\.json(?:\..*)?')
_POLL_S = 0.02
_MODE = 0o750


class ImageCache:
    """Keeps images.

    :param group_id: QEMU's group, which has to read them
    """

    def __init__(
            self, policy: policy_spec.StoragePolicy,
            qemu_img: qemu_img_module.QemuImg,
            group_id: int | None = None) -> None:
        self._policy = policy
        self._fetch = image_fetch.Fetch(policy, qemu_img)
        self._group_id = group_id
        self._folder = os.path.join(policy.instances_path, '_base')
        self._locks = os.path.join(self._folder, '.locks')

    @contextlib.contextmanager
    def using(
            self, image_id: str, images: ports.ImageSource,
            progress: ports.Progress, *, at_most_bytes: int | None = None,
            ) -> Iterator[image_spec.CachedImage]:
        """Have an image in the cache, which stays there meanwhile.

        Brings it when it is not there; of several who want it one does,
        the others wait. It is checked at each use.

        :param at_most_bytes: an image with a larger disk is not brought
        :raises ImageNotFound: there is none
        :raises ImageRefused: it is not what it is declared to be
        :raises FlavorTooSmall: its disk is larger than that
        :raises StorageFailure: there is no room, or it cannot be had
        """
        key = _key(image_id)
        with _told(self._folder):
            self._make_folders()
            lock, fetched = self._lease(
                key, image_id, images, progress, at_most_bytes)
        try:
            with _told(self._folder):
                facts = self._checked(key, image_id, images)
            yield image_spec.CachedImage(
                self._path(key), facts.format, facts.virtual_size_bytes,
                fetched)
        finally:
            os.close(lock)

    def sweep(self, used_paths: Set[str]) -> list[str]:
        """Remove images that have not been used for long.

        :param used_paths: files that disks are based on; they stay, and
            are as young as if they were just brought
        :returns: what was removed
        :raises StorageFailure: the cache cannot be read
        """
        limit = time.time() - self._policy.unused_image_age_s
        with _told(self._folder):
            keys = [name for name in self._names() if _KEY.fullmatch(name)]
            used = {key for key in keys if self._path(key) in used_paths}
            for key in used:
                _touch(self._path(key))
            return [self._path(key) for key in keys
                    if key not in used and self._remove_older(key, limit)]

    def sweep_temporaries(self) -> list[str]:
        """Remove what killed processes have left half made.

        :returns: what was removed
        :raises StorageFailure: the cache cannot be read
        """
        with _told(self._folder):
            names = self._names()
            removed = [self._path(name) for name in names
                       if self._is_left(name)
                       and self._remove_temporary(name)]
            for key in self._locked_keys() - set(names):
                lock = self._try(key)
                if lock is not None:
                    self._drop(lock, key)
            return removed

    def _is_left(self, name: str) -> bool:
        """Say whether a file is of use only while an image is brought."""
        if name.endswith(image_fetch.PART_SUFFIX):
            return True
        found = _RECORD.fullmatch(name)
        return found is not None and (
            name.startswith('.')
            or not os.path.lexists(self._path(found[1])))

    def _locked_keys(self) -> set[str]:
        try:
            return set(filter(_KEY.fullmatch, os.listdir(self._locks)))
        except FileNotFoundError:
            return set()

    def _lease(
            self, key: str, image_id: str, images: ports.ImageSource,
            progress: ports.Progress, at_most_bytes: int | None,
            ) -> tuple[int, bool]:
        """Return a shared lock on an image that is there."""
        path = os.path.join(self._locks, key)
        while True:
            lock = file_lock.try_lock(path, shared=True)
            if lock is not None:
                if os.path.exists(self._path(key)):
                    return lock, False
                os.close(lock)
                lock = file_lock.try_lock(path)
            if lock is not None and self._brought(
                    lock, key, image_id, images, progress, at_most_bytes):
                return lock, True
            # Also a chance to give up.
            progress.advance(0, 0)
            time.sleep(_POLL_S * (1 + random.random()))  # nosec

    def _brought(
            self, lock: int, key: str, image_id: str,
            images: ports.ImageSource, progress: ports.Progress,
            at_most_bytes: int | None) -> bool:
        """Bring an image under its lock, and share the lock then."""
        try:
            if not os.path.exists(self._path(key)):
                self._bring(key, images.show(image_id), images, progress,
                            at_most_bytes)
                if file_lock.make_shared(lock):
                    return True
        except BaseException:
            self._drop(lock, key)
            raise
        os.close(lock)
        return False

    def _drop(self, lock: int, key: str) -> None:
        """Let go of a lock; without an image its file goes as well."""
        if not os.path.exists(self._path(key)):
            _remove(os.path.join(self._locks, key))
        os.close(lock)

    def _bring(
            self, key: str, image: image_spec.Image,
            images: ports.ImageSource, progress: ports.Progress,
            at_most_bytes: int | None) -> None:
        path = self._path(key)
        part, facts = self._fetch.run(
            image, images, path, progress, at_most_bytes=at_most_bytes)
        try:
            folder_module.let_group_in(part, self._group_id)
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
            # Brought by Nova's own driver, which keeps no record: it is
            # what it would have to be, or it is refused.
            facts = inspection.inspect(
                path, self._expected(image_id, images), image=image_id)
            self._record(key, facts)
        else:
            facts = inspection.inspect(path, known.format, image=image_id)
            if facts != known:
                raise exception.ImageRefused(
                    image=image_id, reason=f'{path} has another size than '
                    'when it was brought: it was changed')
        _touch(path)
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
            with open(path, encoding='utf-8') as file:
                found = json.load(file)
            return inspection.Facts(
                image_spec.DiskFormat(found['format']),
                int(found['virtual_size']))
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError) as error:
            raise exception.StorageFailure(
                reason=f'the record {path} is damaged', path=path) from error

    def _remove_older(self, key: str, limit: float) -> bool:
        path = self._path(key)
        lock = self._try(key)
        if lock is None:
            return False
        try:
            # Looked at under the lock: it may have been used just now.
            status = os.lstat(path)
            if status.st_mtime > limit or not stat.S_ISREG(status.st_mode):
                return False
            _remove(path)
            _remove(f'{path}.json')
            LOG.info('Removed the unused image %s from the cache.', path)
            return True
        except FileNotFoundError:
            return False
        finally:
            self._drop(lock, key)

    def _remove_temporary(self, name: str) -> bool:
        key = name.removeprefix('.').partition('.')[0]
        # Who fills the file has it locked; who converts it has only this.
        lock = self._try(key)
        if lock is None:
            return False
        try:
            # Looked at under the lock: a record may have its image by now.
            part = file_lock.try_lock(self._path(name), create=False) if (
                self._is_left(name)) else None
            if part is None:
                return False
            _remove(self._path(name))
            os.close(part)
            return True
        finally:
            self._drop(lock, key)

    def _try(self, key: str) -> int | None:
        os.makedirs(self._locks, mode=_MODE, exist_ok=True)
        return file_lock.try_lock(os.path.join(self._locks, key))

    def _make_folders(self) -> None:
        for path in (self._policy.instances_path, self._folder, self._locks):
            if not os.path.isdir(path):
                os.makedirs(path, mode=_MODE, exist_ok=True)
                folder_module.let_group_in(path, self._group_id)

    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(self._folder))
        except FileNotFoundError:
            return []

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)


def _key(image_id: str) -> str:
    # Never a path; and the name that Nova's own driver gives it.
    return hashlib.sha1(
        image_id.encode(), usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise exception.StorageFailure(
            reason=f'the image cache {path}: {error.strerror or error}',
            path=path) from error


def _touch(path: str) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):
        os.utime(path, follow_symlinks=False)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
