# SPDX-License-Identifier: Apache-2.0

"""Two domains as libvirt completed them, compared by what they mean."""

from collections.abc import Container
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import re

from lxml import etree

REFUSED, BY_LIBVIRT, CRASHED = 'refused', 'by libvirt', 'crashed'
"""How a guest is not made; the last is a fault of a driver."""

ACCEPTED = 'accepted'
ABSENT, EMPTY, PRESENT = 'absent', 'empty', 'present'

# Where devices of one kind are told apart, and by what.
_KEYS: dict[str, tuple[str, ...]] = {
    'disk': ('source/@file',),
    'interface': ('mac/@address',),
    'controller': ('@type', '@index'),
    'input': ('@type', '@bus'),
    'channel': ('target/@name',),
    'graphics': ('@type',),
    'serial': ('target/@port',),
    'console': ('target/@port', 'target/@type'),
    'feature': ('@name',),
    'timer': ('@name',),
    'vcpupin': ('@vcpu',),
    'cell': ('@id',),
    'memnode': ('@cellid',),
    'entry': ('@name',),
    'property': ('@name',),
    'extraSpec': ('@name',),
    'event': ('@name',),
    'port': ('@uuid',),
}

# These are told apart by their keys alone; of others the order counts, too.
_ORDERED = ('disk', 'interface', 'boot')

_IGNORED = re.compile(
    # A time, and a port that is free when the domain is made.
    r'^(metadata/instance/creationTime'
    r'|devices/(serial|console)/source@service)')


@dataclasses.dataclass(frozen=True)
class Value:
    """What is at one path of a domain."""

    text: str
    """Is compared where both domains have the path."""
    whole: str
    """Says what is there, where one domain has nothing."""


Values = dict[str, Value]


@dataclasses.dataclass(frozen=True, order=True)
class Difference:
    """What one driver gives a guest and the other does not."""

    where: str
    """Path of the element or attribute, without what tells devices apart."""
    in_tree: str
    ours: str


def differences(
        in_tree: str, ours: str, among: Container[str] | None = None
) -> list[Difference]:
    """Return how two domains differ.

    :param among: paths that are looked at, None for all
    """
    theirs, own = flat(in_tree), flat(ours)
    found = []
    for path in sorted({*theirs, *own}):
        if among is not None and path not in among:
            continue
        one, other = _said(path, theirs, own), _said(path, own, theirs)
        if one != other and not _parent_differs(path, theirs, own) and not (
                'order of' in path
                and sorted(one.split()) != sorted(other.split())):
            found.append(Difference(plain(path), one, other))
    return sorted(set(found))


def _said(path: str, domain: Values, other: Values) -> str:
    if path not in domain:
        return ABSENT
    return domain[path].text if path in other else domain[path].whole


def kept(
        in_tree: Mapping[str, str], ours: Mapping[str, str], *,
        but: Container[str]) -> list[Difference]:
    """Return how what is kept of two guests differs.

    :param but: what the image says already
    """
    return [Difference(f'kept {name}', in_tree.get(name, ABSENT),
                       ours.get(name, ABSENT))
            for name in sorted({*in_tree, *ours})
            if name not in but and in_tree.get(name) != ours.get(name)]


def changes(before: str, after: str) -> set[str]:
    """Return where a guest is another one than before, but for notes of it."""
    first, second = flat(before), flat(after)
    return {path for path in {*first, *second}
            if _said(path, first, second) != _said(path, second, first)
            and not path.startswith('metadata')}


def flat(xml: str) -> Values:
    """Return all that a domain says, by path."""
    root = etree.fromstring(xml, etree.XMLParser(remove_comments=True))
    return {path: value for path, value in _walk(root, '')
            if not _IGNORED.match(plain(path))}


def plain(path: str) -> str:
    """Return a path without what tells devices apart."""
    return re.sub(r'\[[^\]]*\]', '', path)


def _parent_differs(path: str, one: Values, other: Values) -> bool:
    """Say whether the whole device is on one side only."""
    parent = path
    while '/' in parent or '@' in parent:
        parent = re.sub(r'[/@][^/@\]]*(\[[^\]]*\])?$', '', parent)
        if (parent in one) != (parent in other):
            return True
    return False


def _walk(element: etree._Element, path: str) -> Iterator[tuple[str, Value]]:
    attributes = {
        str(name): str(value) for name, value in element.items()}
    listed = ' '.join(
        f'{name}={value}' for name, value in sorted(attributes.items()))
    text = (element.text or '').strip()
    if path:
        yield path, Value(text, text or listed or (
            PRESENT if len(element) else EMPTY))
    if _name(element) == 'address' and path:
        yield f'{path}@', Value(listed, listed)
        return
    for name, value in attributes.items():
        yield f'{path}@{name}', Value(value, value)
    order: dict[str, list[str]] = {}
    for child in element:
        name = _name(child)
        key = _key(child, name, order)
        order.setdefault(name, []).append(key)
        yield from _walk(child, f'{path}/{name}{key}'.lstrip('/'))
    for name in _ORDERED:
        if name in order:
            listed = ' '.join(order[name])
            yield f'{path}/order of {name}', Value(listed, listed)


def _key(
        element: etree._Element, name: str,
        before: dict[str, list[str]]) -> str:
    values = [_value(element, path) for path in _KEYS.get(name, ())]
    key = '[' + ':'.join(values) + ']' if any(values) else ''
    number = len(before.get(name, ()))
    if key in before.get(name, ()):
        return f'{key}[{number}]'
    return key


def _value(element: etree._Element, path: str) -> str:
    below, _, attribute = path.rpartition('@')
    found = element.find(below.rstrip('/')) if below else element
    return '' if found is None else str(found.get(attribute) or '')


def _name(element: etree._Element) -> str:
    return str(etree.QName(element).localname)
