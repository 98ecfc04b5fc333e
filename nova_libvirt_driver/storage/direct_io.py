# SPDX-License-Identifier: Apache-2.0

"""Whether files can be read and written past the host's cache."""

import functools
import mmap
import os
import tempfile

_BLOCK_BYTES = 4096


def cache_mode(folder: str) -> str:
    """Return the cache mode for disks in a folder that guests best have.

    It is ``none``, past the host's cache: else each byte takes memory twice,
    and a live migration may lose writes. A file system that cannot do that
    gets ``writeback``, and so does a folder that is not there yet.
    """
    if not os.path.isdir(folder):
        return 'none'
    return 'none' if _is_direct(folder) else 'writeback'


@functools.cache
def _is_direct(folder: str) -> bool:
    # A file without a name: nothing is left behind.
    try:
        descriptor = os.open(
            folder, os.O_TMPFILE | os.O_RDWR | os.O_DIRECT, 0o600)
    except OSError:
        return _is_direct_by_name(folder)
    return _writes(descriptor)


def _is_direct_by_name(folder: str) -> bool:
    """Try a file with a name, as NFS has no others."""
    try:
        descriptor, path = tempfile.mkstemp(dir=folder, prefix='.direct-io-')
    except OSError:
        # Whoever may not write there makes no disks.
        return True
    os.close(descriptor)
    try:
        return _writes(os.open(path, os.O_RDWR | os.O_DIRECT))
    except OSError:
        return False
    finally:
        os.unlink(path)


def _writes(descriptor: int) -> bool:
    # Memory of its own page is aligned.
    with mmap.mmap(-1, _BLOCK_BYTES) as block:
        try:
            return os.write(descriptor, block) == _BLOCK_BYTES
        except OSError:
            return False
        finally:
            os.close(descriptor)
