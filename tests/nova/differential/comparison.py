# SPDX-License-Identifier: Apache-2.0

"""Two domains as libvirt completed them, compared by what they mean."""

from collections.abc import Iterator
import dataclasses
import re

from lxml import etree

ABSENT = '-'

# Where devices of one kind are told apart, and by what.
_KEYS: dict[str, tuple[str, ...]] = {
    'disk': ('target/@dev',),
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

Values = dict[str, str]


@dataclasses.dataclass(frozen=True, order=True)
class Difference:
    """What one driver gives a guest and the other does not."""

    where: str
    """Path of the element or attribute, without what tells devices apart."""
    in_tree: str
    ours: str

    def __str__(self) -> str:
        return f'{self.where}: {self.in_tree} | {self.ours}'


def differences(in_tree: str, ours: str) -> list[Difference]:
    """Return how two domains differ."""
    theirs, own = flat(in_tree), flat(ours)
    found = []
    for path in sorted({*theirs, *own}):
        one, other = theirs.get(path, ABSENT), own.get(path, ABSENT)
        if one != other and not _parent_differs(path, theirs, own) and not (
                'order of' in path
                and sorted(one.split()) != sorted(other.split())):
            found.append(Difference(plain(path), one, other))
    return sorted(set(found))


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


def _walk(element: etree._Element, path: str) -> Iterator[tuple[str, str]]:
    if path:
        yield path, (element.text or '').strip()
    attributes = {
        str(name): str(value) for name, value in element.items()}
    if _name(element) == 'address' and path:
        yield f'{path}@', ' '.join(
            f'{name}={value}' for name, value in attributes.items())
        return
    for name, value in attributes.items():
        yield f'{path}@{name}', value
    order: dict[str, list[str]] = {}
    for child in element:
        name = _name(child)
        key = _key(child, name, order)
        order.setdefault(name, []).append(key)
        yield from _walk(child, f'{path}/{name}{key}'.lstrip('/'))
    for name in _ORDERED:
        if name in order:
            yield f'{path}/order of {name}', ' '.join(order[name])


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
