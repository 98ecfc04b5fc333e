# SPDX-License-Identifier: Apache-2.0

"""Fields of elements: where a value is, and how it is written.

A path is made of the names of child elements; ``@name`` at its end is an
attribute, otherwise the value is the text. Setting None takes the value
away, and with it whatever elements of the path are empty then.
"""

from collections.abc import Callable
from collections.abc import Iterator
import re
from typing import Any
from typing import Generic
from typing import overload
from typing import Self
from typing import TypeVar

from lxml import etree

from nova_libvirt_driver.xmlmodel import cpuset
from nova_libvirt_driver.xmlmodel import element as element_module

T = TypeVar('T')
E = TypeVar('E', bound=element_module.Element)

_STEP = re.compile(r'(?:\{[^}]*\})?[^/{}]+')

_UNITS = {
    'b': 1, 'bytes': 1,
    'KB': 10**3, 'k': 2**10, 'KiB': 2**10,
    'MB': 10**6, 'M': 2**20, 'MiB': 2**20,
    'GB': 10**9, 'G': 2**30, 'GiB': 2**30,
    'TB': 10**12, 'T': 2**40, 'TiB': 2**40,
}


def split(path: str) -> tuple[str, ...]:
    """Return the steps of a path; a namespace may hold slashes."""
    return tuple(_STEP.findall(path))


class Field(Generic[T]):
    """A value of an element."""

    def __init__(
            self, path: str, parse: Callable[[str], T],
            write: Callable[[T], str]) -> None:
        *steps, last = split(path)
        self.path = path
        self._attribute = last[1:] if last.startswith('@') else ''
        here = self._attribute or last == '.'
        self._steps = tuple(steps if here else [*steps, last])
        self._parse = parse
        self._write = write
        self.name = path

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = f'{owner.__name__}.{name}'

    @overload
    def __get__(self, obj: None, owner: type) -> Self: ...

    @overload
    def __get__(
            self, obj: element_module.Element, owner: type) -> T | None: ...

    def __get__(
            self, obj: element_module.Element | None,
            owner: type) -> Self | T | None:
        if obj is None:
            return self
        node = obj.peek()
        node = None if node is None else element_module.find(
            node, self._steps)
        return None if node is None else self._read(node)

    def __set__(self, obj: element_module.Element, value: T | None) -> None:
        if value is None:
            self._remove(obj)
            return
        text = self._write(value)
        try:
            self._put(element_module.descend(
                obj.node, self._steps, obj.NAMESPACES), text)
        except ValueError as error:
            raise ValueError(
                f'{self.name}: XML cannot hold {text!r}') from error

    def _read(self, node: etree._Element) -> T | None:
        text = node.get(self._attribute) if self._attribute else node.text
        return None if text is None else self._parse(text)

    def _put(self, node: etree._Element, text: str) -> None:
        if self._attribute:
            node.set(self._attribute, text)
        else:
            node.text = text

    def _remove(self, obj: element_module.Element) -> None:
        node = obj.peek()
        node = None if node is None else element_module.find(
            node, self._steps)
        if node is None:
            return
        if self._attribute:
            node.attrib.pop(self._attribute, '')
        else:
            node.text = None
        obj.prune(node)


class Text(Field[str]):
    """A text."""

    def __init__(self, path: str) -> None:
        super().__init__(path, str, str)


class Integer(Field[int]):
    """A decimal number."""

    def __init__(self, path: str) -> None:
        super().__init__(path, int, str)


class YesNo(Field[bool]):
    """A choice, written yes or no."""

    def __init__(self, path: str) -> None:
        super().__init__(path, lambda text: text == 'yes',
                         lambda value: 'yes' if value else 'no')


class OnOff(Field[bool]):
    """A choice, written on or off."""

    def __init__(self, path: str) -> None:
        super().__init__(path, lambda text: text == 'on',
                         lambda value: 'on' if value else 'off')


class CpuSet(Field[frozenset[int]]):
    """Numbers of CPUs or nodes, written as in 0-3,7."""

    def __init__(self, path: str) -> None:
        super().__init__(path, cpuset.parse, cpuset.write)


class Flag(Field[bool]):
    """An element that is there, or is not."""

    def __init__(self, path: str) -> None:
        super().__init__(path, lambda text: True, lambda value: '')

    def __set__(
            self, obj: element_module.Element, value: bool | None) -> None:
        super().__set__(obj, value or None)

    def _read(self, node: etree._Element) -> bool:
        return True

    def _put(self, node: etree._Element, text: str) -> None:
        """Do nothing: that it is there is all."""


class Size(Field[int]):
    """An amount with a unit beside it; written in one unit, read in any.

    :param unit: unit of the value here, and in the document
    """

    def __init__(self, path: str, unit: str = 'KiB') -> None:
        super().__init__(path, int, str)
        self._unit = unit

    def _read(self, node: etree._Element) -> int | None:
        value = super()._read(node)
        if value is None:
            return None
        unit = node.get('unit', 'KiB')
        return value * _UNITS[unit] // _UNITS[self._unit]

    def _put(self, node: etree._Element, text: str) -> None:
        super()._put(node, text)
        node.set('unit', self._unit)

    def _remove(self, obj: element_module.Element) -> None:
        node = obj.peek()
        node = None if node is None else element_module.find(
            node, self._steps)
        if node is not None:
            node.attrib.pop('unit', '')
        super()._remove(obj)


class Child(Generic[E]):
    """One element below another; it need not exist."""

    def __init__(self, path: str, kind: type[E]) -> None:
        self.path = path
        self.kind = kind
        self._steps = split(path)

    @overload
    def __get__(self, obj: None, owner: type) -> Self: ...

    @overload
    def __get__(self, obj: element_module.Element, owner: type) -> E: ...

    def __get__(
            self, obj: element_module.Element | None,
            owner: type) -> Self | E:
        if obj is None:
            return self
        return self.kind.within(obj, self._steps)


class Listing(Generic[E]):
    """The elements of one kind below another one, in document order."""

    def __init__(
            self, obj: element_module.Element, steps: tuple[str, ...],
            kind: type[E]) -> None:
        self._obj = obj
        self._steps = steps
        self._kind = kind

    def __iter__(self) -> Iterator[E]:
        return iter([self._kind(node) for node in self._nodes()])

    def __len__(self) -> int:
        return len(self._nodes())

    def __getitem__(self, index: int) -> E:
        return self._kind(self._nodes()[index])

    def append(self, item: E) -> E:
        """Add an element behind all others below the parent."""
        self._parent().append(item.node)
        return item

    def add(self) -> E:
        """Add a new element and return it."""
        return self.append(self._kind())

    def remove(self, item: E) -> None:
        """Take an element away."""
        parent = item.node.getparent()
        if parent is None:
            raise ValueError('the element is not in a document')
        parent.remove(item.node)
        self._obj.prune(parent)

    def clear(self) -> None:
        """Take all elements of the kind away."""
        for item in self:
            self.remove(item)

    def _parent(self) -> etree._Element:
        return element_module.descend(
            self._obj.node, self._steps, self._obj.NAMESPACES)

    def _nodes(self) -> list[etree._Element]:
        node = self._obj.peek()
        node = None if node is None else element_module.find(
            node, self._steps)
        return [] if node is None else list(node.iterchildren(
            self._kind.TAG))


class Children(Generic[E]):
    """Elements of one kind below another one.

    :param path: of their parent, empty for the element itself
    """

    def __init__(self, kind: type[E], path: str = '') -> None:
        self.path = path
        self.kind = kind
        self._steps = split(path) if path else ()

    @overload
    def __get__(self, obj: None, owner: type) -> Self: ...

    @overload
    def __get__(
            self, obj: element_module.Element, owner: type
    ) -> Listing[E]: ...

    def __get__(
            self, obj: element_module.Element | None,
            owner: type) -> Self | Listing[E]:
        if obj is None:
            return self
        return Listing(obj, self._steps, self.kind)


def declared(kind: type[element_module.Element]) -> dict[str, Any]:
    """Return the fields of a kind of element by their names."""
    return {
        name: value for base in reversed(kind.__mro__)
        for name, value in vars(base).items()
        if isinstance(value, (Field, Child, Children))}
