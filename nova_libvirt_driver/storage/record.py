# SPDX-License-Identifier: Apache-2.0

"""The record of the disks' formats, as Nova's own driver keeps it.

A guest can write any bytes to its disk. So the format of a disk is what was
written down when it was made, and never what the disk looks like
(CVE-2014-0134, CVE-2015-7548, CVE-2016-2140). Who changes the record has
the folder locked.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import fcntl
import json
import os
import re
import time

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage import atomic

_FORMAT = re.compile(r'[a-z0-9]{2,16}')
_MAX_BYTES = 1 << 20
_POLL_S = 0.005
_BUSY_S = 30.0


def write(disk_info_path: str, disk_path: str, format: str) -> None:
    """Write down the format of a disk; others' formats are kept.

    :raises StorageFailure: it cannot be written
    :raises ValueError: that is no absolute path, or no word for a format
    """
    if not os.path.isabs(disk_path) or not _FORMAT.fullmatch(format):
        raise ValueError(f'{disk_path!r} has no format {format!r}')
    with _locked(disk_info_path):
        _replace(disk_info_path,
                 {**read_all(disk_info_path), disk_path: format})


def read(disk_info_path: str, disk_path: str) -> str:
    """Return the format of a disk.

    :raises StorageFailure: there is no record of it, or a damaged one
    """
    found = read_all(disk_info_path).get(disk_path)
    if found is None:
        raise exception.StorageFailure(
            reason=f'{disk_info_path} does not say which format {disk_path} '
            'has, and it is not found out by looking at the disk',
            path=disk_info_path)
    return found


def read_all(disk_info_path: str) -> dict[str, str]:
    """Return the format of each disk, by path; none without a record.

    :raises StorageFailure: the record is damaged
    """
    try:
        with open(disk_info_path, 'rb') as file:
            return _parsed(file.read(_MAX_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise exception.StorageFailure(
            reason=f'the record {disk_info_path} cannot be read: {error}',
            path=disk_info_path) from error


def forget(disk_info_path: str, *disk_paths: str) -> None:
    """Drop disks from the record, an empty one goes as well; idempotent.

    :raises StorageFailure: it cannot be written
    """
    if not os.path.lexists(disk_info_path):
        return
    with _locked(disk_info_path):
        before = read_all(disk_info_path)
        after = {path: format for path, format in before.items()
                 if path not in disk_paths}
        if not after:
            # Needs no room, which there may not be.
            _remove(disk_info_path)
        elif after != before:
            _replace(disk_info_path, after)


@contextlib.contextmanager
def _locked(disk_info_path: str) -> Iterator[None]:
    """Let nobody else change the record, in this process or another.

    The folder is locked, for the record is another file after each change.
    """
    folder = os.path.dirname(disk_info_path)
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise exception.StorageFailure(
            reason=f'the folder {folder} cannot be used: {error.strerror}',
            path=folder) from error
    try:
        _wait_for(descriptor, disk_info_path)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, disk_info_path: str) -> None:
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # Not waited for within the kernel, see file_lock.
            if time.monotonic() > deadline:
                raise exception.StorageFailure(
                    reason=f'the record {disk_info_path} is locked by '
                    'another process',
                    path=disk_info_path) from None
        time.sleep(_POLL_S)


def _replace(disk_info_path: str, formats: Mapping[str, str]) -> None:
    atomic.write(disk_info_path, json.dumps(dict(formats)).encode())


def _remove(disk_info_path: str) -> None:
    try:
        os.unlink(disk_info_path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise exception.StorageFailure(
            reason=f'the record {disk_info_path} cannot be removed: '
            f'{error.strerror}', path=disk_info_path) from error


def _parsed(data: bytes) -> dict[str, str]:
    record = json.loads(data)
    if not isinstance(record, dict):
        raise ValueError('it is no record of disks')
    for path, format in record.items():
        if not isinstance(format, str) or not _FORMAT.fullmatch(format):
            raise ValueError(f'{path} has no format {format!r}')
    return record
