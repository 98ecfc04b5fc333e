# SPDX-License-Identifier: Apache-2.0

"""Locks that end with the process that has them.

They hold between threads as well, for each has the file open by itself.
Nothing here waits within the kernel, which would stop an eventlet process.

Who can open a file can lock it, even for reading only. So the files are the
owner's alone, and in a folder that no other user can look into.
"""

from collections.abc import Iterator
import contextlib
import errno
import fcntl
import os
import time

FOLDER = '.nova-libvirt-locks'
"""Name of the folder of locks beside what they are for."""

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_POLL_S = 0.02


def beside(path: str, name: str) -> str:
    """Return the path of a lock in a private folder, which is created.

    :param path: an existing folder
    :raises OSError: it cannot be made, or is another user's
    """
    folder = os.path.join(path, FOLDER)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, _FOLDER_MODE)
    descriptor = os.open(
        folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _own(descriptor, os.stat(path).st_uid)
    finally:
        os.close(descriptor)
    return os.path.join(folder, name)


def _own(descriptor: int, parent_uid: int) -> None:
    """Make an open folder, or file, private to its owner."""
    found = os.fstat(descriptor)
    if os.geteuid() == 0:
        # Root comes first at times; the service has to get in after it.
        if found.st_uid != parent_uid:
            os.fchown(descriptor, parent_uid, -1)
    elif found.st_uid != os.geteuid():
        raise PermissionError(
            errno.EPERM, 'the folder of the locks is another user\'s')
    if found.st_mode & 0o777 != _FOLDER_MODE:
        os.fchmod(descriptor, _FOLDER_MODE)


def try_lock(
        path: str, *, shared: bool = False, create: bool = True,
        ) -> int | None:
    """Lock a file and return its descriptor; closing it lets go.

    The holder of the lock may remove the file.

    :returns: None when another has it, or when there is no file
    :raises OSError: the file cannot be opened
    """
    try:
        descriptor = os.open(
            path, _FLAGS | (os.O_CREAT if create else 0), _FILE_MODE)
    except FileNotFoundError:
        if create:
            raise
        return None
    if lock_open(descriptor, shared=shared) and is_at(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None


@contextlib.contextmanager
def held(path: str, timeout_s: float) -> Iterator[None]:
    """Hold the lock of a file, which is removed at the end.

    Waits for *timeout_s* seconds at most.

    :raises TimeoutError: another has it
    :raises OSError: the file cannot be opened
    """
    deadline = time.monotonic() + timeout_s
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() >= deadline:
            raise TimeoutError(
                errno.ETIMEDOUT, 'another process has it locked', path)
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
        os.close(descriptor)


def lock_open(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file, or change the lock on it; False if another has it.

    A lock that could not be changed is lost.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at(descriptor: int, path: str) -> bool:
    """Say whether a path leads to an open file.

    It may have been removed since it was opened: then a lock on it is one
    that no other process finds.
    """
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
