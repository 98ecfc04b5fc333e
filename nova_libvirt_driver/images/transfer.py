# SPDX-License-Identifier: Apache-2.0

"""Copying the bytes of images."""

from collections.abc import Iterator
import dataclasses
import hashlib
import os
import typing

from nova_libvirt_driver.images import folder as folder_module
from nova_libvirt_driver import ports

ALGORITHM = 'sha512'

_CHUNK_BYTES = 1024 * 1024
_ZEROS = bytes(_CHUNK_BYTES)


@dataclasses.dataclass(frozen=True, slots=True)
class Copied:
    """What was copied."""

    size_bytes: int
    checksum: str


def receive(
        source: typing.BinaryIO, target: typing.BinaryIO,
        progress: ports.Progress, what: str) -> Copied:
    """Fill a new file, with holes for zeros, and wait until it is on disk.

    :param what: said when it fails, as what could not be done
    :raises StorageFailure: it cannot be read, or there is no room
    """
    digest = hashlib.new(ALGORITHM)
    size = 0
    for chunk in _chunks(source, progress, what):
        digest.update(chunk)
        size += len(chunk)
        with folder_module.failing(what, target.name):
            if chunk == _ZEROS[:len(chunk)]:
                target.seek(size)
            else:
                target.write(chunk)
    with folder_module.failing(what, target.name):
        target.truncate(size)
        folder_module.sync(target)
    return Copied(size, digest.hexdigest())


def send(
        source: typing.BinaryIO, target: typing.BinaryIO,
        progress: ports.Progress, what: str) -> None:
    """Write all bytes of a file to another one.

    :raises StorageFailure: it cannot be read, or there is no room
    """
    for chunk in _chunks(source, progress, what):
        with folder_module.failing(what, ''):
            target.write(chunk)


def _chunks(
        source: typing.BinaryIO, progress: ports.Progress, what: str
) -> Iterator[bytes]:
    """Read a file; what progress raises is not taken for a failure."""
    total = _size(source)
    done = 0
    while True:
        with folder_module.failing(what, ''):
            chunk = source.read(_CHUNK_BYTES)
        if not chunk:
            return
        yield chunk
        done += len(chunk)
        progress.advance(done, total)


def _size(file: typing.BinaryIO) -> int:
    """Return the length of a file, 0 when it is not known."""
    try:
        return os.fstat(file.fileno()).st_size
    except OSError:
        return 0
