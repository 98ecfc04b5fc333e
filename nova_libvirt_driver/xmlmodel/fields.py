# SPDX-License-Identifier: Apache-2.0

"""Fields of elements: where a value is, and how it is written.

A path consists of the names of child elements; ``@name`` at its end is an
attribute, ``.`` the text of the element itself, otherwise the value is the
text of the last child. Setting None takes the value away, and with it
whatever elements of the path are empty then.
"""

from collections.abc import Callable
from collections.abc import Iterable
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
from nova_libvirt_driver.xmlmodel import size

T = TypeVar('T')
E = TypeVar('E', bound=element_module.Element)

_STEP = re.compile(r'(?:\{[^}]*\})?[^/{}]+')

# How much of a value that cannot be read an error shows.
_SHOWN = 40


def split(path: str) -> tuple[str, ...]:
    """Return the steps of a path; a namespace may hold slashes."""
    return tuple(_STEP.findall(path))


class Field(Generic[T]):
    """A value of an element.

    Reading raises ValueError when the document has a value of another
    form, writing when XML cannot hold the value; nothing is changed then.
    """

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
        self.name = name

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
        node = self._find(obj)
        if node is None:
            return None
        try:
            return self._read(node)
        except ValueError as error:
            raise ValueError(f'{self._label(obj)}: {error}') from error

    def __set__(self, obj: element_module.Element, value: T | None) -> None:
        if value is None:
            node = self._find(obj)
            if node is not None:
                self._remove(obj, node)
            return
        try:
            text = self._write(value)
        except ValueError as error:
            raise ValueError(f'{self._label(obj)}: {error}') from error
        # Before any element of the path is created.
        if wrong := element_module.forbidden(text):
            raise ValueError(f'{self._label(obj)}: XML cannot hold the '
                             f'character U+{ord(wrong):04X}; leave it out')
        node = obj.element
        if self._steps:
            node = element_module.descend(node, self._steps, obj.NAMESPACES)
        self._put(node, text)

    def _find(self, obj: element_module.Element) -> etree._Element | None:
        node = obj.peek()
        if node is None or not self._steps:
            return node
        return element_module.find(node, self._steps)

    def _label(self, obj: element_module.Element) -> str:
        return f'{type(obj).__name__}.{self.name}'

    def _read(self, node: etree._Element) -> T | None:
        text = (node.get(self._attribute) if self._attribute
                else element_module.text_of(node))
        return None if text is None else self._parse(text)

    def _put(self, node: etree._Element, text: str) -> None:
        if self._attribute:
            node.set(self._attribute, text)
        else:
            element_module.put_text(node, text)

    def _remove(
            self, obj: element_module.Element, node: etree._Element) -> None:
        if self._attribute:
            node.attrib.pop(self._attribute, '')
        else:
            element_module.put_text(node, None)
        obj.prune(node)


class Text(Field[str]):
    """A text; an element without text has None."""

    def __init__(self, path: str) -> None:
        super().__init__(path, str, str)


class Integer(Field[int]):
    """A decimal number."""

    def __init__(self, path: str) -> None:
        super().__init__(path, _integer, str)


class _Choice(Field[bool]):
    """One of two words."""

    def __init__(self, path: str, true: str, false: str) -> None:
        super().__init__(path, self._chosen,
                         lambda value: true if value else false)
        self._words = {true: True, false: False}

    def _chosen(self, text: str) -> bool:
        if text not in self._words:
            raise ValueError(
                f'{text[:_SHOWN]!r} is not {" or ".join(self._words)}')
        return self._words[text]


class YesNo(_Choice):
    """A choice, written yes or no."""

    def __init__(self, path: str) -> None:
        super().__init__(path, 'yes', 'no')


class OnOff(_Choice):
    """A choice, written on or off."""

    def __init__(self, path: str) -> None:
        super().__init__(path, 'on', 'off')


class CpuSet(Field[frozenset[int]]):
    """Numbers of CPUs or nodes, written as in 0-3,7."""

    def __init__(self, path: str) -> None:
        super().__init__(path, cpuset.parse, cpuset.write)


class Flag(Field[bool]):
    """An element that is there (True) or is not (None).

    Setting False or None removes it with all that is in it.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, lambda text: True, lambda value: '')

    def __set__(
            self, obj: element_module.Element, value: bool | None) -> None:
        super().__set__(obj, value or None)

    def _read(self, node: etree._Element) -> bool:
        return True

    def _put(self, node: etree._Element, text: str) -> None:
        """Do nothing: that it is there is all."""

    def _remove(
            self, obj: element_module.Element, node: etree._Element) -> None:
        remove(obj, node)


class Size(Field[int]):
    """An amount with its unit in the attribute ``unit`` beside it.

    It is written in one unit and read in any that libvirt knows.

    :param unit: unit of the value here, and in the document
    """

    def __init__(self, path: str, unit: str = 'KiB') -> None:
        super().__init__(path, _integer, str)
        self._unit = unit

    def _read(self, node: etree._Element) -> int | None:
        value = super()._read(node)
        return None if value is None else size.convert(
            value, node.get('unit', 'KiB'), self._unit)

    def _put(self, node: etree._Element, text: str) -> None:
        super()._put(node, text)
        node.set('unit', self._unit)

    def _remove(
            self, obj: element_module.Element, node: etree._Element) -> None:
        node.attrib.pop('unit', '')
        super()._remove(obj, node)


def remove(obj: element_module.Element, node: etree._Element) -> None:
    """Remove a node below an element, and parents that are empty then."""
    parent = node.getparent()
    if parent is not None:
        element_module.detach(node, parent)
        obj.prune(parent)


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(
            f'{text[:_SHOWN]!r} is not a decimal number') from error


class Child(Generic[E]):
    """One element below another; it need not exist.

    Setting another element replaces it, setting None removes it.
    """

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

    def __set__(self, obj: element_module.Element, value: E | None) -> None:
        place = self.kind.within(obj, self._steps)
        if value is not None:
            new, old = value.element, place.element
            if new is not old:
                element_module.replace(old, new)
        elif (node := place.peek()) is not None:
            remove(obj, node)


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
        """Add an element behind all others below the parent.

        An element that stands in a document already is moved.
        """
        element_module.descend(
            self._obj.element, self._steps, self._obj.NAMESPACES
        ).append(item.element)
        return item

    def add(self) -> E:
        """Add a new element and return it."""
        return self.append(self._kind())

    def remove(self, item: E) -> None:
        """Take an element away.

        :raises ValueError: it is not one of these
        """
        node = item.peek()
        parent = self._parent()
        if node is None or parent is None or node not in self._nodes():
            raise ValueError(f'the {self._kind.__name__} is not in the list')
        element_module.detach(node, parent)
        self._obj.prune(parent)

    def clear(self) -> None:
        """Take all elements of the kind away."""
        for item in self:
            self.remove(item)

    def _parent(self) -> etree._Element | None:
        node = self._obj.peek()
        return None if node is None else element_module.find(
            node, self._steps)

    def _nodes(self) -> list[etree._Element]:
        parent = self._parent()
        return [] if parent is None else list(
            parent.iterchildren(self._kind.TAG))


class Children(Generic[E]):
    """Elements of one kind below another one.

    Setting replaces all of them, setting None removes them.

    :param path: of their parent, empty for the element itself
    """

    def __init__(self, kind: type[E], path: str = '') -> None:
        self.path = path
        self.kind = kind
        self._steps = split(path)

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

    def __set__(
            self, obj: element_module.Element,
            value: Iterable[E] | None) -> None:
        items = list(value or ())
        found = Listing(obj, self._steps, self.kind)
        found.clear()
        for item in items:
            found.append(item)


def declared(kind: type[element_module.Element]) -> dict[str, Any]:
    """Return the fields of a kind of element by their names."""
    return {
        name: value for base in reversed(kind.__mro__)
        for name, value in vars(base).items()
        if isinstance(value, (Field, Child, Children))}
