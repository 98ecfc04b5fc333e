# SPDX-License-Identifier: Apache-2.0

"""Files of a folder of images: names, locks, and what a crash leaves.

An image is there when its description is. A temporary is locked by the one who
fills it; one that is not locked belongs to a process that has died.
"""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import typing

from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage import failure

_FOLDER_MODE = 0o750
_FILE_MODE = 0o640
_DATA = '.data'
_JSON = '.json'
_PART = '.part'
_LOCK = '.lock'
_BUSY_S = 30.0


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
        with self._naming('list'), contextlib.suppress(FileNotFoundError):
            return sorted(
                image_id for name in os.listdir(self.path)
                if name.endswith(_JSON) and instance_spec.is_uuid(
                    image_id := name.removesuffix(_JSON)))
        return []

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from changing the folder, for a short time."""
        with contextlib.ExitStack() as stack:
            with self._naming('use'):
                os.makedirs(self.path, _FOLDER_MODE, exist_ok=True)
                stack.enter_context(locking.held(
                    os.path.join(self.path, _LOCK), _BUSY_S))
            yield

    @contextlib.contextmanager
    def temporary(self, image_id: str) -> Iterator[typing.BinaryIO]:
        """Give a file for the bytes of an image.

        It is gone afterwards, unless :meth:`keep` has made an image of it.
        """
        path = self._part(image_id)
        with self.locked(), self._naming('write to'):
            self._remove_left()
            # By name: that of a file of a descriptor is a number, also in
            # messages.
            file = open(path, 'xb', opener=lambda name, flags: os.open(
                name, flags | os.O_CLOEXEC, _FILE_MODE))
            locking.lock_open(file.fileno())
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
        with self._naming('keep an image in'):
            os.rename(self._part(image_id), data)
            try:
                atomic.write(self.description(image_id), description.encode())
            except BaseException:
                _remove(data)
                raise

    def remove(self, image_id: str) -> None:
        """Remove an image; under :meth:`locked`."""
        with self._naming('delete an image in'):
            _remove(self.description(image_id))
            atomic.sync(self.path)
            _remove(self.data(image_id))

    def sweep(self) -> None:
        """Remove what processes have left that were killed.

        Makes no folder, and takes no lock when there is nothing to remove.

        :raises StorageFailure: something of it stays
        """
        if any(self._suspects()):
            with self.locked(), self._naming('clean up'):
                self._remove_left()

    def left(self) -> list[str]:
        """Return the paths of what killed processes have left.

        :raises StorageFailure: the folder cannot be locked
        """
        if not any(self._suspects()):
            return []
        with self.locked(), self._naming('look at'):
            return list(self._left())

    def _naming(self, what: str) -> contextlib.AbstractContextManager[None]:
        return failure.naming(f'cannot {what} {self.path}', self.path)

    def _part(self, image_id: str) -> str:
        return self.data(image_id) + _PART

    def _remove_left(self) -> None:
        for path in self._left():
            _remove(path)

    def _left(self) -> Iterator[str]:
        """Yield what is not used any more; under :meth:`locked`."""
        for path in self._suspects():
            descriptor = locking.try_lock(path, create=False)
            if descriptor is not None:
                os.close(descriptor)
                yield path

    def _suspects(self) -> Iterator[str]:
        """Yield temporaries, and bytes without a description."""
        try:
            names = set(os.listdir(self.path))
        except OSError:
            return
        for name in sorted(names):
            image_id, _, rest = name.removeprefix('.').partition('.')
            # A description is written, and bytes get their name, under one
            # lock.
            if instance_spec.is_uuid(image_id) and (
                    name.startswith('.') or name.endswith(_PART)
                    or f'.{rest}' == _DATA and image_id + _JSON not in names):
                yield os.path.join(self.path, name)


def _remove(path: str) -> None:
    pathlib.Path(path).unlink(missing_ok=True)
