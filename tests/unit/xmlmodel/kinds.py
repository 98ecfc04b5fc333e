# SPDX-License-Identifier: Apache-2.0

"""Finds all elements of the model and all their fields."""

from collections.abc import Iterator
import importlib
import pkgutil
from typing import Any

from nova_libvirt_driver import xmlmodel
from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


def all_kinds() -> list[type[element.Element]]:
    """Return every kind of element that the package declares."""
    for module in pkgutil.walk_packages(
            xmlmodel.__path__, f'{xmlmodel.__name__}.'):
        importlib.import_module(module.name)
    return [kind for kind in _below(element.Element)
            if kind.TAG and kind.__module__.startswith(xmlmodel.__name__)]


def declared(
        wanted: type[Any] | tuple[type[Any], ...],
) -> Iterator[tuple[type[element.Element], str, Any]]:
    """Yield kind, name and field for all fields of some types."""
    for kind in all_kinds():
        for name, field in fields.declared(kind).items():
            if isinstance(field, wanted):
                yield kind, name, field


def used(one: element.Element) -> Iterator[str]:
    """Yield ``Kind.field`` for what an element and those below have."""
    for name, field in fields.declared(type(one)).items():
        value = getattr(one, name)
        label = f'{type(one).__name__}.{name}'
        if isinstance(field, fields.Children):
            if len(value):
                yield label
            for below in value:
                yield from used(below)
        elif isinstance(field, fields.Child):
            if value.peek() is not None:
                yield label
                yield from used(value)
        elif value is not None:
            yield label


def _below(
        kind: type[element.Element]) -> Iterator[type[element.Element]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)
