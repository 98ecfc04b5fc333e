# SPDX-License-Identifier: Apache-2.0

"""Files that are there as a whole or not at all."""

from collections.abc import Callable
import contextlib
import os
import tempfile

from nova_libvirt_driver import exception

MODE = 0o640


def write(path: str, data: bytes, mode: int = MODE) -> None:
    """Write a file, or leave what was there before.

    :raises StorageFailure: there is no room, or no right to write
    """
    def fill(temporary: str) -> None:
        with open(temporary, 'wb') as file:
            file.write(data)

    make(path, fill, mode)


def make(path: str, fill: Callable[[str], object], mode: int = MODE) -> None:
    """Let a file be made beside its place, and put it there when it is whole.

    :param fill: makes the file of the path it is given, which exists
    :raises StorageFailure: there is no room, or no right to write
    """
    folder = os.path.dirname(path)
    try:
        descriptor, temporary = tempfile.mkstemp(
            prefix=f'.{os.path.basename(path)}.', dir=folder)
        try:
            os.close(descriptor)
            fill(temporary)
            sync(temporary)
            os.chmod(temporary, mode)
            os.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        sync(folder)
    except OSError as error:
        raise exception.StorageFailure(
            reason=f'cannot write {path}: {error.strerror or error}',
            path=folder) from error


def sync(path: str) -> None:
    """Bring a file, or the names in a folder, to the disk.

    :raises OSError: that failed
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
