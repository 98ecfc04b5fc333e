# SPDX-License-Identifier: Apache-2.0

"""The record of the disks' formats, as Nova's own driver keeps it.

A guest can write any bytes to its disk. So the format of a disk is what was
written down when it was made, and never what the disk looks like
(CVE-2014-0134, CVE-2015-7548, CVE-2016-2140).
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import json
import os
import pathlib
import re
from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.filesystem import paths
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage import failure

_FORMAT = re.compile(r'[a-z0-9]{2,16}')
_BUSY_S = 30.0


def write(disk_info_path: str, disk_path: str, format: str) -> None:
    """Write down the format of a disk; others' formats are kept.

    :raises StorageFailure: it cannot be written
    :raises ValueError: the path is not absolute, or the word is not a format
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

    Of a folder that was moved, by the path that a disk has now.

    :raises StorageFailure: the record is damaged
    """
    with failure.naming(
            f'the record {disk_info_path} cannot be read', disk_info_path
    ), contextlib.suppress(FileNotFoundError):
        found = _parsed(records.load(disk_info_path))
        folder = os.path.dirname(disk_info_path)
        moved = {path: os.path.join(folder, os.path.basename(path))
                 for path in found if paths.is_own(path, folder)}
        return {moved.get(path, path): format
                for path, format in found.items()}
    return {}


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
            with failure.naming(
                    f'the record {disk_info_path} cannot be removed',
                    disk_info_path):
                pathlib.Path(disk_info_path).unlink(missing_ok=True)
        elif after != before:
            _replace(disk_info_path, after)


@contextlib.contextmanager
def _locked(disk_info_path: str) -> Iterator[None]:
    """Keep others from changing the record, in any process.

    The record itself is another file after each change, and who may read
    it, or its folder, could lock it as well.
    """
    folder, name = os.path.split(disk_info_path)
    with contextlib.ExitStack() as stack:
        with failure.naming(
                f'the record {disk_info_path} cannot be locked', folder):
            stack.enter_context(locking.held(
                os.path.join(folder, f'.{name}.lock'), _BUSY_S))
        yield


def _replace(disk_info_path: str, formats: Mapping[str, str]) -> None:
    atomic.write(disk_info_path, json.dumps(dict(formats)).encode())


def _parsed(record: dict[str, Any]) -> dict[str, str]:
    for path, format in record.items():
        if not isinstance(format, str) or not _FORMAT.fullmatch(format):
            raise records.Unreadable(f'{path} has no format {format!r}')
    return record
