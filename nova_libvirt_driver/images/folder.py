# SPDX-License-Identifier: Apache-2.0

"""Files of a folder of images: names, locks, and what a crash leaves.

An image is there when its description is. A temporary is locked by whoever
fills it; one that is not locked belongs to a process that has died.
"""

from collections.abc import Iterator
import contextlib
import fcntl
import os
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec

_FOLDER_MODE = 0o750
_FILE_MODE = 0o640
_DATA = '.data'
_JSON = '.json'
_PART = '.part'
_LOCK = '.lock'


class ImageFolder:
    """Names and keeps the files of images, by their uuid alone."""

    def __init__(self, path: str) -> None:
        self.path = path

    def data(self, image_id: str) -> str:
        """Return the path of an image's bytes."""
        return os.path.join(self.path, image_id + _DATA)

    def description(self, image_id: str) -> str:
        """Return the path of an image's description."""
        return os.path.join(self.path, image_id + _JSON)

    def ids(self) -> list[str]:
        """Return the identifiers of all images, damaged ones too."""
        with failing(f'list {self.path}', self.path):
            try:
                names = os.listdir(self.path)
            except FileNotFoundError:
                return []
        return sorted(
            image_id for name in names if name.endswith(_JSON)
            and instance_spec.is_uuid(image_id := name.removesuffix(_JSON)))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from changing the folder, for a short time."""
        with failing(f'use {self.path}', self.path):
            if not os.path.isdir(self.path):
                os.makedirs(self.path, _FOLDER_MODE, exist_ok=True)
            descriptor = os.open(
                os.path.join(self.path, _LOCK),
                os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def temporary(self, image_id: str) -> Iterator[typing.BinaryIO]:
        """Give a file for the bytes of an image.

        It is gone afterwards, unless :meth:`keep` has made an image of it.
        """
        path = self._part(image_id)
        with self.locked(), failing(f'write to {self.path}', self.path):
            self._sweep()
            file = _create(path)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield file
        finally:
            _remove(path)
            # What matters is on the disk; without room this fails again.
            with contextlib.suppress(OSError):
                file.close()

    def keep(self, image_id: str, description: str) -> None:
        """Make an image of the temporary; under :meth:`locked`.

        Its bytes must be on the disk. On failure there is no image.
        """
        data = self.data(image_id)
        part = self.description(image_id) + _PART
        with failing(f'keep image {image_id}', self.path):
            os.rename(self._part(image_id), data)
            try:
                with _create(part) as file:
                    file.write(description.encode())
                    sync(file)
                os.rename(part, self.description(image_id))
            except BaseException:
                _remove(part)
                _remove(data)
                raise
            self._sync()

    def remove(self, image_id: str) -> None:
        """Remove an image; under :meth:`locked`."""
        with failing(f'delete image {image_id}', self.path):
            _remove(self.description(image_id))
            self._sync()
            _remove(self.data(image_id))

    def _part(self, image_id: str) -> str:
        return self.data(image_id) + _PART

    def _sweep(self) -> None:
        """Remove what processes have left that were killed."""
        for name in os.listdir(self.path):
            image_id, _, rest = name.partition('.')
            if not instance_spec.is_uuid(image_id):
                continue
            path = os.path.join(self.path, name)
            if f'.{rest}' == _DATA:
                # Both renames are made under one lock.
                if not os.path.exists(self.description(image_id)):
                    _remove(path)
            elif name.endswith(_PART) and not _is_locked(path):
                _remove(path)

    def _sync(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync(file: typing.BinaryIO) -> None:
    """Wait until the bytes of a file are on the disk."""
    file.flush()
    os.fsync(file.fileno())


@contextlib.contextmanager
def failing(what: str, path: str) -> Iterator[None]:
    """Say what could not be done, where the system says only why."""
    try:
        yield
    except OSError as error:
        raise exception.StorageFailure(
            reason=f'cannot {what}: {error.strerror or error}',
            path=path) from error


def _create(path: str) -> typing.BinaryIO:
    descriptor = os.open(
        path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    return open(descriptor, 'wb')


def _is_locked(path: str) -> bool:
    with contextlib.suppress(FileNotFoundError), open(path, 'rb') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
