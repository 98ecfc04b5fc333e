# SPDX-License-Identifier: Apache-2.0

"""From libvirt's capabilities XML to values."""

import dataclasses
import re

from lxml import etree

_OWNER = re.compile(r'\+(\d+):\+(\d+)')


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostCapabilities:
    """Who the host is, and which user its emulators run as."""

    uuid: str = ''
    qemu_uid: int | None = None
    """None when libvirt does not say."""
    qemu_gid: int | None = None


def parse(xml: str, virt_type: str) -> HostCapabilities:
    """Return what the text says of guests of that kind."""
    root = parse_xml(xml)
    uid, gid = _owner(root, virt_type)
    return HostCapabilities(uuid=root.findtext('host/uuid', default=''),
                            qemu_uid=uid, qemu_gid=gid)


def parse_xml(xml: str) -> etree._Element:
    """Return the root element; nothing outside the text is read."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    return etree.fromstring(xml.encode(), parser)


def _owner(
        root: etree._Element,
        virt_type: str) -> tuple[int, int] | tuple[None, None]:
    for model in root.iterfind('host/secmodel'):
        if model.findtext('model') != 'dac':
            continue
        for label in model.iterfind('baselabel'):
            found = _OWNER.fullmatch((label.text or '').strip())
            if found and label.get('type') == virt_type:
                return int(found[1]), int(found[2])
    return None, None
