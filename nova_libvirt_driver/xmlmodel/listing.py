# SPDX-License-Identifier: Apache-2.0

"""The elements of one kind below another one, as a list."""

from collections.abc import Iterator
from typing import Generic
from typing import TypeVar

from lxml import etree

from nova_libvirt_driver.xmlmodel import element as element_module

E = TypeVar('E', bound=element_module.Element)


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
