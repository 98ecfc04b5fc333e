# SPDX-License-Identifier: Apache-2.0

"""Walks the fields of nested frozen values."""

from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import enum
import typing
from typing import Any


def declared(kind: Any, excluded: frozenset[str]) -> set[str]:
    """Return ``Class.field`` for a class and all classes in its fields."""
    found: set[str] = set()
    waiting = [kind]
    while waiting:
        one = waiting.pop()
        hints = typing.get_type_hints(one)
        for field in dataclasses.fields(one):
            label = f'{one.__name__}.{field.name}'
            if label in found or label in excluded:
                continue
            found.add(label)
            waiting += _dataclasses_in(hints[field.name])
    return found


def altered(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield a value with one field in it altered, for each that is set.

    Such a field gets its default back, or something else of its kind.
    """
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            for label, other in altered(item):
                yield label, (*value[:index], other, *value[index + 1:])
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            now = getattr(value, field.name)
            label = f'{type(value).__name__}.{field.name}'
            for other in _others(field, now):
                yield label, dataclasses.replace(value, **{field.name: other})
            for inner_label, inner in altered(now):
                yield inner_label, dataclasses.replace(
                    value, **{field.name: inner})


def _others(field: Any, now: Any) -> Iterator[Any]:
    """Yield other values for a field; none when it has its default."""
    if field.default is not dataclasses.MISSING:
        if field.default == now:
            return
        yield field.default
    if field.default_factory is not dataclasses.MISSING:
        yield field.default_factory()
    yield from _alike(now)


def _alike(now: Any) -> Iterator[Any]:
    """Yield other values of the same kind."""
    if isinstance(now, enum.Enum):
        yield from (one for one in type(now) if one is not now)
    elif isinstance(now, int) and not isinstance(now, bool):
        yield now + 1
    elif isinstance(now, str):
        yield from (now[:-1] + last for last in '01z' if last != now[-1:])
    elif isinstance(now, frozenset):
        yield frozenset(
            item + 1 for item in now if isinstance(item, int))
    elif isinstance(now, tuple):
        yield now[::-1]


def _dataclasses_in(hint: Any) -> list[Any]:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return [hint]
    if typing.get_origin(hint) is Mapping:
        return []
    return [one for argument in typing.get_args(hint)
            for one in _dataclasses_in(argument)]
