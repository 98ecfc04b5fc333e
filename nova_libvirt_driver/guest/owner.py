# SPDX-License-Identifier: Apache-2.0

"""Whether a domain is ours, by the metadata that it carries.

Runs on a native thread: it neither logs nor waits for anything but libvirt.
"""

import dataclasses
import re

import libvirt
from lxml import etree

from nova_libvirt_driver.connection import errors
from nova_libvirt_driver.connection import protocol

NAMESPACE = 'http://openstack.org/xmlns/libvirt/nova/1.1'
"""Of the metadata that is written; any 1.x is known as ours."""

_NAMESPACES = re.compile(
    r'http://openstack\.org/xmlns/libvirt/nova/1\.\d+')


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """What shows that a domain is ours."""

    display_name: str


def mark_of(domain: protocol.Domain) -> Mark | None:
    """Return the mark of a domain, None for one that is not ours.

    :raises libvirt.libvirtError: as it comes
    """
    try:
        text = domain.metadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, 0)
    except libvirt.libvirtError as error:
        if not errors.is_without_metadata(error):
            raise
        return mark_in(domain.XMLDesc(0))
    return _mark(_parse(text))


def mark_in(xml: str) -> Mark | None:
    """Return the mark in the XML of a domain, None when there is none."""
    for element in _parse(xml).iterfind('metadata/*'):
        name = etree.QName(element)
        if name.localname == 'instance' and _NAMESPACES.fullmatch(
                name.namespace or ''):
            return _mark(element)
    return None


def _mark(instance: etree._Element) -> Mark:
    # Libvirt takes the namespace off when it is asked for the element.
    return Mark(instance.findtext('{*}name') or '')


def _parse(xml: str) -> etree._Element:
    return etree.fromstring(xml, etree.XMLParser(
        resolve_entities=False, no_network=True, remove_comments=True,
        remove_pis=True))
