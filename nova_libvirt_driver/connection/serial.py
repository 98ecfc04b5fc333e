# SPDX-License-Identifier: Apache-2.0

"""Libvirt's objects in a process with native threads: calls take turns."""

from collections.abc import Callable
import inspect
from typing import Any

import libvirt

from nova_libvirt_driver.connection import turn as turn_module

VIR_CLASSES: tuple[type, ...] = tuple(
    value for name, value in vars(libvirt).items()
    if name.startswith('vir') and inspect.isclass(value))
"""Every class of libvirt whose objects have calls that may block."""


class Wrapped:
    """Marks an object that stands before one of libvirt."""

    _obj: Any
    _turn: turn_module.Turn


class SerialProxy(Wrapped):
    """An object of libvirt whose calls wait for their turn.

    What a call returns is wrapped too, also inside lists and tuples.
    """

    def __init__(self, obj: Any, turn: turn_module.Turn) -> None:
        self._obj = obj
        self._turn = turn

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._obj, name)
        if not callable(attribute) or name in turn_module.LOCAL_METHODS:
            return attribute
        return taking_turns(
            self._turn.tracked(attribute), name, self._turn, wrap)

    def __eq__(self, other: object) -> bool:
        return bool(self._obj == getattr(other, '_obj', other))

    def __hash__(self) -> int:
        return hash(self._obj)

    def __repr__(self) -> str:
        return f'<{type(self).__name__} of {self._obj!r}>'


def taking_turns(
        function: Callable[..., Any], name: str, turn: turn_module.Turn,
        wrapper: Callable[[Any, turn_module.Turn], Any],
) -> Callable[..., Any]:
    """Return *function* so that it waits for its turn, and wraps."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with turn.taken(name):
            turn.check()
            turn.begin()
            return wrapper(turn.observation.call(
                name, lambda: function(*args, **kwargs)), turn)

    return call


def raw(value: Any) -> Any:
    """Return the object of libvirt behind *value*, or *value* itself."""
    return value._obj if isinstance(value, Wrapped) else value


def turn_of(value: Any) -> turn_module.Turn | None:
    """Return the turn that the calls of *value* take, if they take any."""
    return value._turn if isinstance(value, Wrapped) else None


def wrap(value: Any, turn: turn_module.Turn) -> Any:
    """Return *value* with every object of libvirt in it wrapped."""
    if isinstance(value, VIR_CLASSES):
        return SerialProxy(value, turn)
    if isinstance(value, (list, tuple)):
        return type(value)(wrap(item, turn) for item in value)
    return value
