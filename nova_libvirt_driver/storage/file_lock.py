# SPDX-License-Identifier: Apache-2.0

"""Locks that end with the process that has them.

They hold between threads as well, for each has the file open by itself.
Nothing here waits: a wait within the kernel would stop an eventlet process.
"""

import fcntl
import os

_MODE = 0o640
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


def try_lock(
        path: str, *, shared: bool = False, create: bool = True,
        ) -> int | None:
    """Lock a file and return its descriptor; closing it lets go.

    Whoever has the lock may remove the file.

    :returns: None when another has it, or when there is no file
    :raises OSError: the file cannot be opened
    """
    try:
        descriptor = os.open(
            path, _FLAGS | (os.O_CREAT if create else 0), _MODE)
    except FileNotFoundError:
        if create:
            raise
        return None
    if _lock(descriptor, shared=shared) and _is_at(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None


def make_shared(descriptor: int) -> bool:
    """Let others share a lock; False when it was lost meanwhile."""
    return _lock(descriptor, shared=True)


def _lock(descriptor: int, *, shared: bool) -> bool:
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: str) -> bool:
    # The file may have been removed since it was opened: then this is a
    # lock on a file that nobody else finds.
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
