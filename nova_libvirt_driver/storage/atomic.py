# SPDX-License-Identifier: Apache-2.0

"""Files that are there as a whole or not at all."""

from collections.abc import Callable
import contextlib
import os
import pathlib
import tempfile

from nova_libvirt_driver.storage import failure

MODE = 0o640


def write(
        path: str, data: bytes, mode: int = MODE, *,
        lasting: bool = True) -> None:
    """Write a file, or leave what was there before.

    :param lasting: it is on the disk when this returns. Else nothing waits
        for the disk, and after a loss of power it may be damaged
    :raises StorageFailure: there is no room, or no right to write
    """
    def fill(temporary: str) -> None:
        with open(temporary, 'wb') as file:
            file.write(data)

    make(path, fill, mode, lasting=lasting)


def create(path: str, data: bytes) -> None:
    """Write a file that is not there yet, or nothing at all.

    :raises StorageFailure: there is one, no room, or no right to write
    """
    make(path, lambda temporary: pathlib.Path(temporary).write_bytes(data),
         put=_put_new)


def _put_new(temporary: str, path: str) -> None:
    os.link(temporary, path)
    os.unlink(temporary)


def make(
        path: str, fill: Callable[[str], object], mode: int = MODE, *,
        put: Callable[[str, str], object] = os.rename,
        lasting: bool = True) -> None:
    """Let a file be made beside its place, and put it there when it is whole.

    :param fill: makes the file of the path it is given, which exists
    :param put: moves it to its place
    :param lasting: see :func:`write`
    :raises StorageFailure: there is no room, or no right to write
    """
    folder = os.path.dirname(path)
    with failure.naming(f'cannot write {path}', folder):
        descriptor, temporary = tempfile.mkstemp(
            prefix=f'.{os.path.basename(path)}.', dir=folder)
        try:
            os.close(descriptor)
            fill(temporary)
            if lasting:
                sync(temporary)
            os.chmod(temporary, mode)
            put(temporary, path)
        except BaseException:
            pathlib.Path(temporary).unlink(missing_ok=True)
            raise
        if lasting:
            sync(folder)


def sync(path: str) -> None:
    """Write a file, or the names in a folder, through to the disk.

    :raises OSError: that failed
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(path: str) -> None:
    """Remove a file that could not be completed; idempotent.

    Its room is free at once. A sandbox of a tool that wrote it has it mounted
    for a moment longer than the tool lives, and what undoes the rest may need
    room on a full disk.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(
            path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_nlink == 1:
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)
    pathlib.Path(path).unlink(missing_ok=True)
