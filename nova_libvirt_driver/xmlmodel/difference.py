# SPDX-License-Identifier: Apache-2.0

"""The difference between a domain that runs and its definition.

Both are put into the same order, and what libvirt adds to every domain that
runs (names of taps, chosen ports, labels) is left out. Text in, text out.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import difflib
import re

from lxml import etree

from nova_libvirt_driver.xmlmodel import element

_CONTEXT = 3

# What libvirt adds when a domain starts, as tags and as attributes.
_ADDED_TAGS = frozenset({
    'alias', 'seclabel', 'backingStore', 'mirror', 'resource'})
_ADDED = frozenset({
    ('domain', 'id'), ('console', 'tty'), ('disk/source', 'index'),
    ('interface/target', 'dev'), ('channel/target', 'state'),
    ('nvram', 'template'), ('hostdev/source', 'index'),
    ('serial/source', 'tls'), ('console/source', 'tls'),
    ('channel/source', 'tls')})

# Paths below "domain" of what libvirt can change while a guest runs.
_LIVE = re.compile(
    r'(metadata|title|description|currentMemory|memtune|blkiotune|cputune'
    r'|devices/(disk|cdrom)/iotune|devices/cdrom/source'
    r'|devices/interface/(bandwidth|link|filterref)'
    r'|devices/memballoon/stats)(/.*)?')

# A CPU that stands for another one is replaced by that at the start.
_STANDING_FOR = ('host-model', 'maximum')


@dataclasses.dataclass(frozen=True, slots=True)
class _Line:
    text: str
    path: str


def diff(running: str, defined: str) -> Iterator[str]:
    """Yield the lines of a unified diff; none when there is no difference.

    :param running: XML of the domain as it runs
    :param defined: XML of what its next start makes
    """
    old, new = element.read(running), element.read(defined)
    for domain in (old, new):
        _strip(domain)
    _forget_chosen(old, new)
    before, after = list(_lines(old, '', 0)), list(_lines(new, '', 0))
    matcher = difflib.SequenceMatcher(
        None, [line.text for line in before], [line.text for line in after],
        autojunk=False)
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        yield (f'@@ -{group[0][1] + 1},{group[-1][2] - group[0][1]} '
               f'+{group[0][3] + 1},{group[-1][4] - group[0][3]} @@')
        for kind, start, end, new_start, new_end in group:
            if kind == 'equal':
                yield from (f' {line.text}' for line in before[start:end])
                continue
            yield from _marked('-', before[start:end])
            yield from _marked('+', after[new_start:new_end])


def _marked(sign: str, lines: Sequence[_Line]) -> Iterator[str]:
    for line in lines:
        mark = '(live)' if _LIVE.fullmatch(line.path) else '(reboot)'
        yield f'{sign}{line.text}  {mark}'


def _strip(domain: etree._Element) -> None:
    """Take away what libvirt adds to a domain that runs."""
    for node in list(domain.iter('*')):
        parent = node.getparent()
        if parent is not None and node.tag in _ADDED_TAGS:
            parent.remove(node)
            continue
        for place in _places(node):
            for name in list(node.attrib):
                if (place, name) in _ADDED:
                    del node.attrib[name]
        if element.is_empty(node) and node.tag in (
                'target', 'nvram') and parent is not None:
            parent.remove(node)


def _places(node: etree._Element) -> tuple[str, ...]:
    parent = node.getparent()
    if parent is None:
        return (str(node.tag),)
    return str(node.tag), f'{parent.tag}/{node.tag}'


def _forget_chosen(running: etree._Element, defined: etree._Element) -> None:
    """Take away what the definition leaves to libvirt."""
    for graphics, planned in _pairs(running, defined, 'devices/graphics'):
        if planned.get('autoport') == 'yes':
            for name in ('port', 'tlsPort', 'websocket'):
                graphics.attrib.pop(name, '')
                planned.attrib.pop(name, '')
    for tag in ('serial', 'console', 'channel'):
        for port, planned in _pairs(running, defined, f'devices/{tag}'):
            source = port.find('source')
            if source is not None and planned.find('source') is None:
                port.remove(source)
    _forget_firmware(running.find('os'), defined.find('os'))
    for cpu, planned in _pairs(running, defined, 'cpu'):
        if planned.get('mode') in _STANDING_FOR:
            running.remove(cpu)
            defined.remove(planned)
        else:
            _forget_features(cpu, planned)


def _forget_features(
        running: etree._Element, defined: etree._Element) -> None:
    if running.get('check') == defined.get('check'):
        return
    # Libvirt has checked the CPU, and written down what QEMU gave it.
    for cpu in (running, defined):
        cpu.attrib.pop('check', '')
    asked = {feature.get('name') for feature in defined.findall('feature')}
    for feature in running.findall('feature'):
        if feature.get('name') not in asked:
            running.remove(feature)


def _forget_firmware(
        running: etree._Element | None,
        defined: etree._Element | None) -> None:
    if running is None or defined is None or (
            running.get('firmware') or not defined.get('firmware')):
        return
    # Libvirt has put the files of the firmware it chose in its place.
    del defined.attrib['firmware']
    for system in (running, defined):
        for tag in ('loader', 'nvram'):
            for node in system.findall(tag):
                system.remove(node)


def _pairs(
        running: etree._Element, defined: etree._Element, path: str
        ) -> Iterator[tuple[etree._Element, etree._Element]]:
    return zip(running.findall(path), defined.findall(path))


def _lines(
        node: etree._Element, path: str, depth: int) -> Iterator[_Line]:
    """Yield a node in lines; its children are in a fixed order."""
    indent = '  ' * depth
    name = etree.QName(node).localname
    attributes = ''.join(
        f' {key}={_quoted(node.get(key, ""))}'
        for key in sorted(map(str, node.keys())))
    text = (element.text_of(node) or '').strip()
    children = sorted(node.iterchildren('*'), key=_order)
    if not children:
        body = f'>{_escaped(text)}</{name}>' if text else '/>'
        yield _Line(f'{indent}<{name}{attributes}{body}', path)
        return
    yield _Line(f'{indent}<{name}{attributes}>', path)
    for child in children:
        tag = child.get('device', '')
        if tag != 'cdrom':
            tag = etree.QName(child).localname
        yield from _lines(child, f'{path}/{tag}'.lstrip('/'), depth + 1)
    yield _Line(f'{indent}</{name}>', path)


def _order(node: etree._Element) -> tuple[str, ...]:
    """Return what sorts a node: its kind, its name, then all of it."""
    target = node.find('target')
    name = '' if target is None else target.get('dev', '')
    mac = node.find('mac')
    address = '' if mac is None else mac.get('address', '')
    return (etree.QName(node).localname, name, address,
            *(line.text for line in _lines(node, '', 0)))


def _quoted(value: str) -> str:
    return "'" + _escaped(value).replace("'", '&apos;') + "'"


def _escaped(text: str) -> str:
    return ' '.join(text.split()).replace('&', '&amp;').replace('<', '&lt;')
