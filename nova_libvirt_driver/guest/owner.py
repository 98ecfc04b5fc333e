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
from nova_libvirt_driver import exception

NAMESPACE = 'http://openstack.org/xmlns/libvirt/nova/1.1'
"""Of the metadata that is written; any 1.x is known as ours."""

_PREFIX = 'nova'

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


def set_display_name(domain: protocol.Domain, name: str) -> None:
    """Change the name in the metadata, of the guest that runs and the next.

    :raises InvalidRequest: the name cannot be written as XML
    :raises libvirt.libvirtError: as it comes
    """
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    scopes = [libvirt.VIR_DOMAIN_AFFECT_CONFIG]
    if domain.isActive():
        scopes.append(libvirt.VIR_DOMAIN_AFFECT_LIVE)
    for scope in scopes:
        # Libvirt takes the namespace off, and puts it on again.
        text = domain.metadata(kind, NAMESPACE, scope)
        domain.setMetadata(
            kind, _with_name(text, name), _PREFIX, NAMESPACE, scope)


def _with_name(text: str, name: str) -> str:
    instance = _parse(text)
    element = instance.find('{*}name')
    if element is None:
        element = etree.SubElement(instance, 'name')
    try:
        element.text = name
    except ValueError as error:
        raise exception.InvalidRequest(
            reason='a name has no control characters') from error
    return etree.tostring(instance, encoding='unicode')


def _mark(instance: etree._Element) -> Mark:
    # Libvirt takes the namespace off when it is asked for the element.
    return Mark(instance.findtext('{*}name') or '')


def _parse(xml: str) -> etree._Element:
    return etree.fromstring(xml, etree.XMLParser(
        resolve_entities=False, no_network=True, remove_comments=True,
        remove_pis=True, remove_blank_text=True))
