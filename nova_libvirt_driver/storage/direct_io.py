# SPDX-License-Identifier: Apache-2.0

"""Whether files can be read and written past the host's cache."""

import errno
import functools
import mmap
import os
import tempfile

from nova_libvirt_driver import exception

_BLOCK_BYTES = 4096

_NOT_WRITTEN_TO = (errno.EACCES, errno.ENOENT, errno.EPERM, errno.EROFS)
"""How folders answer in which this process makes no disks."""


def cache_mode(folder: str) -> str:
    """Return the cache mode for disks in a folder that guests best have.

    It is ``none``, past the host's cache: else each byte takes memory twice,
    and a live migration may lose writes. A file system that cannot do that
    gets ``writeback``. A folder that is not there yet, or in which this
    process makes no files, counts as able.

    :raises StorageFailure: it cannot be found out now, as when the file
        system is full; the next call tries again
    """
    if not os.path.isdir(folder):
        return 'none'
    try:
        return 'none' if _is_direct(folder) else 'writeback'
    except OSError as error:
        if error.errno in _NOT_WRITTEN_TO:
            return 'none'
        raise exception.StorageFailure(
            reason='cannot find out whether disks in it can bypass the '
            f"host's cache: {folder}: {error.strerror}",
            path=folder) from error


@functools.cache
def _is_direct(folder: str) -> bool:
    """Return the answer of a file system, which is remembered.

    :raises OSError: it has not answered
    """
    # A file without a name: nothing is left behind.
    try:
        descriptor = os.open(
            folder, os.O_TMPFILE | os.O_RDWR | os.O_DIRECT, 0o600)
    except OSError:
        return _is_direct_by_name(folder)
    return _writes(descriptor)


def _is_direct_by_name(folder: str) -> bool:
    """Try a file with a name, as NFS has no others."""
    descriptor, path = tempfile.mkstemp(dir=folder, prefix='.direct-io-')
    os.close(descriptor)
    try:
        return _writes(os.open(path, os.O_RDWR | os.O_DIRECT))
    except OSError as error:
        return _refused(error)
    finally:
        os.unlink(path)


def _writes(descriptor: int) -> bool:
    # Memory of its own page is aligned.
    with mmap.mmap(-1, _BLOCK_BYTES) as block:
        try:
            os.write(descriptor, block)
            return True
        except OSError as error:
            return _refused(error)
        finally:
            os.close(descriptor)


def _refused(error: OSError) -> bool:
    if error.errno != errno.EINVAL:
        raise error
    return False
