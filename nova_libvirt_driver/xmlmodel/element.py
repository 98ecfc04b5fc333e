# SPDX-License-Identifier: Apache-2.0

"""An element of an XML document, as the base of everything in the model.

What the model does not know stays in the document untouched.
"""

from typing import ClassVar
from typing import Self

from lxml import etree


def _parser() -> etree.XMLParser:
    # Not shared: a parser of lxml is not for several threads at once.
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False,
        huge_tree=False, remove_blank_text=True)


class Element:
    """One element, or the place where it would be.

    :param node: the node of lxml; None makes a new one
    """

    TAG: ClassVar[str] = ''
    NAMESPACES: ClassVar[dict[str, str] | None] = None

    def __init__(self, node: etree._Element | None = None) -> None:
        self._node: etree._Element | None = (
            etree.Element(self.TAG, nsmap=self.NAMESPACES)
            if node is None else node)
        self._parent: 'Element | None' = None
        self._steps: tuple[str, ...] = ()

    @classmethod
    def within(cls, parent: 'Element', steps: tuple[str, ...]) -> Self:
        """Return the element below another one, whether it exists or not.

        It comes into being when the first of its fields is set.
        """
        made = cls.__new__(cls)
        made._node = None
        made._parent = parent
        made._steps = steps
        return made

    @classmethod
    def parse(cls, xml: str) -> Self:
        """Read an element from XML.

        :raises ValueError: it is not well formed, or another element
        """
        try:
            node = etree.fromstring(xml.encode(), _parser())
        except etree.XMLSyntaxError as error:
            raise ValueError(f'not well-formed XML: {error}') from error
        if node.tag != cls.TAG:
            raise ValueError(f'{node.tag} is not {cls.TAG}')
        return cls(node)

    @property
    def node(self) -> etree._Element:
        """The node of lxml, made if need be."""
        if self._node is not None:
            return self._node
        assert self._parent is not None
        return descend(self._parent.node, self._steps, self.NAMESPACES)

    def peek(self) -> etree._Element | None:
        """Return the node of lxml, None while there is none."""
        if self._node is not None:
            return self._node
        assert self._parent is not None
        above = self._parent.peek()
        return None if above is None else find(above, self._steps)

    def prune(self, node: etree._Element) -> None:
        """Remove a node with nothing in it, and then its parents."""
        top = self._top()
        while node is not top and is_empty(node):
            above = node.getparent()
            if above is None:
                return
            above.remove(node)
            node = above

    def to_xml(self) -> str:
        """Return the XML text, indented."""
        node = self.node
        etree.indent(node)
        return etree.tostring(node, encoding='unicode') + '\n'

    def canonical(self) -> str:
        """Return a text that is the same for the same content."""
        plain = etree.fromstring(etree.tostring(self.node), _parser())
        etree.indent(plain)
        return etree.tostring(plain, method='c14n2').decode() + '\n'

    def _top(self) -> etree._Element | None:
        element: Element | None = self
        while element is not None and element._node is None:
            element = element._parent
        return None if element is None else element._node


def find(
        node: etree._Element, steps: tuple[str, ...]
) -> etree._Element | None:
    """Return the first node at the end of some steps down, or None."""
    found: etree._Element | None = node
    for step in steps:
        if found is None:
            return None
        found = next(found.iterchildren(step), None)
    return found


def descend(
        node: etree._Element, steps: tuple[str, ...],
        namespaces: dict[str, str] | None = None) -> etree._Element:
    """Return the node at the end of some steps down, made if need be."""
    for step in steps:
        below = next(node.iterchildren(step), None)
        if below is None:
            below = etree.SubElement(node, step, nsmap=namespaces)
        node = below
    return node


def is_empty(node: etree._Element) -> bool:
    """Say whether a node has neither attributes, text nor children."""
    return not (len(node) or node.attrib or (node.text or '').strip())
