# SPDX-License-Identifier: Apache-2.0

"""What may be put on a config drive: names, and how much."""

from collections.abc import Mapping
import re

from nova_libvirt_driver import exception

MAX_MIB = 64
MAX_FILES = 1000
# What both ISO 9660 with its extensions and vfat can hold.
MAX_NAME = 64
MAX_DEPTH = 8

_NAME = re.compile(rf'[A-Za-z0-9._-]{{1,{MAX_NAME}}}')


def check(files: Mapping[str, bytes]) -> None:
    """Refuse what no drive can hold, and paths that lead out of it.

    :raises InvalidRequest: says which path, or how much it is
    """
    if len(files) > MAX_FILES:
        raise _refused(f'{len(files)} files, of {MAX_FILES} at the most')
    size = sum(map(len, files.values()))
    if size > MAX_MIB * 1024 * 1024:
        raise _refused(f'{size} bytes, of {MAX_MIB} MiB at the most')
    taken: dict[str, str] = {}
    for path in files:
        _check_path(path)
        for name in (*_parents(path), path):
            _claim(taken, name)
    inner = {parent for path in files for parent in _parents(path)}
    for path in sorted(inner & set(files)):
        raise _refused(f'{path!r} as a file and as a folder')


def _check_path(path: str) -> None:
    names = path.split('/')
    if len(names) > MAX_DEPTH or not all(
            _NAME.fullmatch(name) and name.strip('.') for name in names):
        raise _refused(
            f'the path {path!r}; a path is relative, of {MAX_DEPTH} names at '
            f'the most, and a name of letters, digits, dot, dash and '
            f'underscore')


def _claim(taken: dict[str, str], name: str) -> None:
    """Remember a name; vfat tells no small letters from capitals."""
    other = taken.setdefault(name.lower(), name)
    if other != name:
        raise _refused(f'{other!r} and {name!r}: they differ in case only')


def _parents(path: str) -> tuple[str, ...]:
    """Return the folders of a path, the outermost first."""
    names = path.split('/')
    return tuple('/'.join(names[:end]) for end in range(1, len(names)))


def folders(files: Mapping[str, bytes]) -> list[str]:
    """Return all folders of some files, each after the one it is in."""
    return sorted({parent for path in files for parent in _parents(path)})


def _refused(what: str) -> exception.InvalidRequest:
    return exception.InvalidRequest(
        reason=f'a config drive cannot hold {what}')
