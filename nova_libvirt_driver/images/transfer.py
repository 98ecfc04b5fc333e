# SPDX-License-Identifier: Apache-2.0

"""Copying the bytes of images."""

from collections.abc import Iterator
import dataclasses
import errno
import hashlib
import os
import typing

from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import block_digest
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.storage import failure

_ALGORITHM = 'sha512'
_CHUNK_BYTES = 1024 * 1024
_ZEROS = bytes(_CHUNK_BYTES)


def receive(
        described: image_spec.Image, source: typing.BinaryIO,
        target: typing.BinaryIO, progress: ports.Progress,
) -> image_spec.Image:
    """Fill a new file, with holes for zeros, and wait until it is on disk.

    A hole of the source is not read for its checksum.

    :returns: the image with the size and the checksum of its bytes
    :raises StorageFailure: it cannot be read, or there is no room
    """
    what = f'cannot keep image {described.id}'
    digest: block_digest.BlockDigest | hashlib._Hash
    if _has_hole(source):
        digest, algorithm = (
            block_digest.BlockDigest(), block_digest.ALGORITHM)
    else:
        digest, algorithm = hashlib.new(_ALGORITHM), _ALGORITHM
    size = 0
    for chunk in _chunks(source, progress, what):
        if isinstance(chunk, int):
            assert isinstance(digest, block_digest.BlockDigest)
            digest.skip_zeros(chunk)
            size += chunk
            continue
        digest.update(chunk)
        with failure.naming(what, target.name):
            target.seek(size)
            if chunk != _ZEROS[:len(chunk)]:
                target.write(chunk)
        size += len(chunk)
    with failure.naming(what, target.name):
        target.truncate(size)
        target.flush()
        os.fsync(target.fileno())
    return dataclasses.replace(
        described, size_bytes=size, checksum=digest.hexdigest(),
        checksum_algorithm=algorithm)


def send(
        source: typing.BinaryIO, target: typing.BinaryIO,
        progress: ports.Progress, what: str) -> None:
    """Write all bytes of a file to another one.

    :param what: said when it fails: what could not be done
    :raises StorageFailure: it cannot be read, or there is no room
    """
    for chunk in _chunks(source, progress, what, holes=False):
        assert isinstance(chunk, bytes)
        with failure.naming(what, ''):
            target.write(chunk)


def _chunks(
        source: typing.BinaryIO, progress: ports.Progress, what: str, *,
        holes: bool = True) -> Iterator[bytes | int]:
    """Read a file; what progress raises is not taken for a failure.

    Yields the length of a hole instead of its zeros, if that is wanted.
    """
    total = _size(source)
    done = 0
    holes = holes and _has_hole(source)
    while True:
        with failure.naming(what, ''):
            chunk: bytes | int = _hole_bytes(source, done, total) if (
                holes) else 0
            if isinstance(chunk, int) and not chunk:
                chunk = source.read(_CHUNK_BYTES)
        if not chunk:
            return
        yield chunk
        done += chunk if isinstance(chunk, int) else len(chunk)
        progress.advance(done, total)


def _hole_bytes(source: typing.BinaryIO, offset: int, total: int) -> int:
    """Skip the hole that begins at an offset; return its length."""
    try:
        data = os.lseek(source.fileno(), offset, os.SEEK_DATA)
    except OSError as error:
        # Only a hole is left, or nothing.
        if error.errno != errno.ENXIO:
            raise
        data = max(offset, total)
    source.seek(data)
    return data - offset


def _has_hole(source: typing.BinaryIO) -> bool:
    """Say whether a file has a hole before its end."""
    try:
        return os.lseek(source.fileno(), 0, os.SEEK_HOLE) < _size(source)
    except (OSError, AttributeError):
        return False
    finally:
        source.seek(0)


def _size(file: typing.BinaryIO) -> int:
    """Return the length of a file, 0 when it is not known."""
    try:
        return os.fstat(file.fileno()).st_size
    except OSError:
        return 0
