# SPDX-License-Identifier: Apache-2.0

"""An element of an XML document, as the base of everything in the model.

What the model does not know stays in the document untouched.
"""

import copy
from typing import Any
from typing import ClassVar
from typing import Self

from lxml import etree


def _parser() -> etree.XMLParser:
    # Not shared: a parser of lxml is not for several threads at once.
    return etree.XMLParser(
        encoding='utf-8', resolve_entities=False, no_network=True,
        load_dtd=False, dtd_validation=False, huge_tree=False)


class Element:
    """One element, or the place where it would be.

    :param node: the node of lxml; None makes a new one
    """

    TAG: ClassVar[str] = ''
    NAMESPACES: ClassVar[dict[str, str] | None] = None

    def __init__(self, node: etree._Element | None = None) -> None:
        self._node: etree._Element | None = (
            self._new() if node is None else node)
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

        :raises ValueError: it is not well formed, another element, or has
            a document type, which libvirt never writes
        """
        node = read(xml)
        if node.tag != cls.TAG:
            raise ValueError(f'{node.tag} is not {cls.TAG}')
        return cls(node)

    @property
    def tag(self) -> str:
        """The name of the element."""
        return self.TAG or str(self.element.tag)

    @property
    def element(self) -> etree._Element:
        """The node of lxml, made if need be."""
        if self._node is not None:
            return self._node
        assert self._parent is not None
        return descend(self._parent.element, self._steps, self.NAMESPACES)

    def peek(self) -> etree._Element | None:
        """Return the node of lxml, None while there is none."""
        if self._node is not None:
            return self._node
        assert self._parent is not None
        above = self._parent.peek()
        return None if above is None else find(above, self._steps)

    def copy(self) -> Self:
        """Return the element with all that is in it, as a document."""
        return type(self)(self._copy())

    def prune(self, node: etree._Element) -> None:
        """Remove a node with nothing in it, and then its parents."""
        top = self._top()
        while node is not top and is_empty(node):
            above = node.getparent()
            if above is None:
                return
            detach(node, above)
            node = above

    def to_xml(self, *, pretty: bool = True) -> str:
        """Return the XML text.

        :param pretty: indent it; otherwise white space is as it was read
        """
        node = self._copy()
        if not pretty:
            return etree.tostring(node, encoding='unicode', with_tail=False)
        etree.indent(node)
        text = etree.tostring(node, encoding='unicode', with_tail=False)
        return f'{text}\n'

    def compact(self) -> str:
        """Return the XML text without white space around elements."""
        node = self._copy()
        for one in node.iter():
            if len(one) and not (one.text or '').strip():
                one.text = None
            if not (one.tail or '').strip():
                one.tail = None
        return etree.tostring(node, encoding='unicode', with_tail=False)

    def canonical(self) -> str:
        """Return a text that is the same for the same content."""
        node = self._copy()
        etree.indent(node)
        text = etree.tostring(node, method='c14n2', with_tail=False)
        return f'{text.decode()}\n'

    @classmethod
    def _new(cls) -> etree._Element:
        return etree.Element(cls.TAG, nsmap=cls.NAMESPACES)

    def _copy(self) -> etree._Element:
        node = self.peek()
        return self._new() if node is None else copy.deepcopy(node)

    def _top(self) -> etree._Element | None:
        element: Element | None = self
        while element is not None and element._node is None:
            element = element._parent
        return None if element is None else element._node


def read(xml: str) -> etree._Element:
    """Return the root of a document.

    :raises ValueError: it is not well formed, or has a document type
    """
    try:
        node = etree.fromstring(xml.encode(), _parser())
    except etree.XMLSyntaxError as error:
        raise ValueError(f'not well-formed XML: {error}') from error
    if node.getroottree().docinfo.internalDTD is not None:
        raise ValueError('XML with a document type is not accepted')
    return node


def look_up(xml: str, *paths: str) -> list[list[str]]:
    """Return the texts at each XPath, for one look at a document.

    :raises ValueError: it is not well formed, or has a document type
    """
    root: Any = read(xml)
    return [[found if isinstance(found, str) else text_of(found) or ''
             for found in root.xpath(path)] for path in paths]


def find(
        node: etree._Element, steps: tuple[str, ...]
) -> etree._Element | None:
    """Return the first node at the end of some steps down, or None."""
    found: etree._Element | None = node
    for step in steps:
        # The length is known at once; a search is not cheap.
        if found is None or not len(found):
            return None
        found = next(found.iterchildren(step), None)
    return found


def descend(
        node: etree._Element, steps: tuple[str, ...],
        namespaces: dict[str, str] | None = None) -> etree._Element:
    """Return the node at the end of some steps down, made if need be."""
    for step in steps:
        below = next(node.iterchildren(step), None) if len(node) else None
        if below is None:
            below = etree.SubElement(node, step, nsmap=namespaces)
        node = below
    return node


def detach(node: etree._Element, parent: etree._Element) -> None:
    """Remove a node, and the white space that only it was indented by."""
    parent.remove(node)
    if not len(parent) and is_empty(parent):
        parent.text = None


def replace(old: etree._Element, new: etree._Element) -> None:
    """Put a node in the place of another one."""
    parent = old.getparent()
    assert parent is not None
    parent.replace(old, new)


def is_empty(node: etree._Element) -> bool:
    """Say whether a node has neither attributes, text nor children."""
    return not (len(node) or node.attrib or (node.text or '').strip())


def text_of(node: etree._Element) -> str | None:
    """Return the text of a node, also around comments; None for none."""
    if not len(node):
        return node.text
    text = (node.text or '') + ''.join(below.tail or '' for below in node)
    return text if text.strip() else None


def put_text(node: etree._Element, text: str | None) -> None:
    """Replace the text of a node, also what stands behind comments."""
    node.text = text
    if len(node):
        for below in node:
            below.tail = None


def forbidden(text: str) -> str:
    """Return the first character that XML cannot hold, empty for none."""
    if text.isprintable():
        return ''
    return next((one for one in text if _is_forbidden(one)), '')


def _is_forbidden(character: str) -> bool:
    code = ord(character)
    return (code < 0x20 and character not in '\t\n\r'
            or 0xd800 <= code < 0xe000 or code in (0xfffe, 0xffff))
