# SPDX-License-Identifier: Apache-2.0

"""Reads small files that somebody may have damaged, or put there.

A record that makes no sense must cost itself only. So there is one way to
fail: whatever is wrong with a file or its JSON is an :class:`Unreadable`,
which names it. Nothing here waits, follows a link at the end of a path or
reads without a limit.
"""

import functools
import json
import math
import os
import posix
import stat
import typing
from typing import Any
from typing import TypeVar

if typing.TYPE_CHECKING:
    import cattrs

T = TypeVar('T')

MAX_BYTES = 1 << 20

_BOOT_ID = '/proc/sys/kernel/random/boot_id'
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class Unreadable(ValueError):
    """A file is not a plain file, is too long, or makes no sense."""


class OfLaterVersion(Unreadable):
    """A later version has written it, and this one cannot make sense of it."""


class _Unknown(ValueError):
    """An enumeration has no such member."""


def read(
        path: str, *, max_bytes: int = MAX_BYTES,
        follow: bool = False) -> bytes:
    """Return the bytes of a plain file.

    :param follow: also where the path is a symbolic link
    :raises FileNotFoundError: there is none
    :raises Unreadable: it is no plain file, or longer than *max_bytes*
    :raises OSError: it cannot be read
    """
    # Also on a native thread of an eventlet process, where eventlet's own
    # os.open would make a hub, which keeps a descriptor for ever.
    descriptor = posix.open(path, _FLAGS | (0 if follow else os.O_NOFOLLOW))
    try:
        return read_open(descriptor, max_bytes=max_bytes)
    finally:
        os.close(descriptor)


def read_open(descriptor: int, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the bytes of an open plain file, from its beginning.

    :raises Unreadable: it is no plain file, or longer than *max_bytes*
    :raises OSError: it cannot be read
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise Unreadable('it is not a plain file')
    data = bytearray()
    while len(data) <= max_bytes:
        piece = os.pread(descriptor, max_bytes + 1 - len(data), len(data))
        if not piece:
            return bytes(data)
        data += piece
    raise Unreadable(f'it has more than {max_bytes} bytes')


@functools.cache
def boot_id() -> str:
    """Return the kernel's name for this boot of the host."""
    with open(_BOOT_ID, encoding='ascii') as file:
        return file.read().strip()


def parse(text: bytes | str) -> dict[str, Any]:
    """Return a JSON object.

    :raises Unreadable: it is none, has a name twice, or a number that JSON
        does not know
    """
    try:
        found = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant,
            parse_float=_number)
    except RecursionError as error:
        raise Unreadable('it is nested too deeply') from error
    except ValueError as error:
        raise Unreadable(f'it is not JSON: {error}') from error
    if not isinstance(found, dict):
        raise Unreadable('it is not a JSON object')
    return found


def load(
        path: str, *, max_bytes: int = MAX_BYTES,
        follow: bool = False) -> dict[str, Any]:
    """Return the JSON object in a plain file; raises as both parts do."""
    return parse(read(path, max_bytes=max_bytes, follow=follow))


def structure(
        found: Any, kind: type[T],
        by: 'cattrs.Converter | None' = None) -> T:
    """Return the value that a JSON object describes.

    What it lacks takes its default; what the value has no field for, as a
    later version may have, is left out.

    :param kind: a dataclass
    :param by: what makes the value, by default :func:`converter`
    :raises OfLaterVersion: an enumeration has no such member yet
    :raises Unreadable: a field is of another type, or missing
    """
    # Imported when it is needed: most commands never do.
    import cattrs

    try:
        return (by or converter()).structure(found, kind)
    except cattrs.BaseValidationError as error:
        reason = '; '.join(cattrs.transform_error(error))
        if error.subgroup(_Unknown) is not None:
            raise OfLaterVersion(reason) from error
        raise Unreadable(reason) from error


@functools.cache
def converter() -> 'cattrs.Converter':
    """Return what makes values of what JSON has, and the other way."""
    import cattrs

    made = cattrs.Converter(unstruct_collection_overrides={
        frozenset: sorted, tuple: list})
    for kind in (bool, int, str):
        made.register_structure_hook(kind, _scalar)
    return made


def _scalar(value: object, kind: type) -> object:
    """Return a value as it is, or make a member of an enumeration of it.

    Left alone, the library takes any text for True and makes a text of
    anything.
    """
    if kind not in (bool, int, str):
        try:
            return kind(value)
        except ValueError as error:
            raise _Unknown(str(error)) from error
    if type(value) is not kind:
        raise ValueError(f'{value!r} is not of the type {kind.__name__}')
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError('a name is there twice')
    return made


def _constant(name: str) -> float:
    raise ValueError(f'{name} is not a number')


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f'{text[:20]} is too large')
    return number
