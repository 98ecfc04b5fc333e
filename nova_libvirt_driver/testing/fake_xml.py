# SPDX-License-Identifier: Apache-2.0

"""Domain XML as the fake hypervisor keeps it.

Owns reading and changing the few elements that the fake knows; everything
else stays as it was defined. It validates nothing.
"""

from collections.abc import Callable
import copy

from lxml import etree

NOVA = 'http://openstack.org/xmlns/libvirt/nova/1.1'

_FIRST_PORT = 5900


def minimal(name: str, uuid: str, *, owned: bool = False) -> str:
    """Return the XML of a guest nobody defined.

    :param owned: with metadata that Nova and this driver know as theirs
    """
    domain = etree.Element('domain', type='qemu')
    etree.SubElement(domain, 'name').text = name
    etree.SubElement(domain, 'uuid').text = uuid
    if owned:
        instance = etree.SubElement(
            etree.SubElement(domain, 'metadata'), f'{{{NOVA}}}instance',
            nsmap={'nova': NOVA})
        etree.SubElement(instance, f'{{{NOVA}}}name').text = name
    etree.SubElement(domain, 'devices')
    return _text(domain)


def live(definition: str, number: int) -> str:
    """Return the XML of a running guest; libvirt chose its ports.

    :param number: libvirt's id of the running domain
    """
    domain = etree.fromstring(definition)
    domain.set('id', str(number))
    for index, graphics in enumerate(domain.iterfind('devices/graphics')):
        if graphics.get('autoport') == 'yes':
            graphics.set('port', str(_FIRST_PORT + 10 * number + index))
    return _text(domain)


def stopped(definition: str) -> str:
    """Return the XML of a guest that does not run."""
    domain = etree.fromstring(definition)
    for graphics in domain.iterfind('devices/graphics'):
        if graphics.get('autoport') == 'yes':
            graphics.set('port', '-1')
    return _text(domain)


def identity(xml: str) -> tuple[str, str | None]:
    """Return name and uuid.

    :raises ValueError: there is no name, or no XML
    """
    try:
        domain = etree.fromstring(xml)
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from error
    name = domain.findtext('name')
    if domain.tag != 'domain' or not name:
        raise ValueError('missing domain name information')
    return name, domain.findtext('uuid')


def memory_kib(xml: str, default: int) -> int:
    """Return the memory, in the units that tests use."""
    memory = etree.fromstring(xml).find('memory')
    if memory is None:
        return default
    factor = {'MiB': 1024, 'GiB': 1 << 20}.get(memory.get('unit', ''), 1)
    return int(memory.text or 0) * factor


def with_name(xml: str, name: str) -> str:
    """Return the XML with another name."""
    domain = etree.fromstring(xml)
    element = domain.find('name')
    assert element is not None
    element.text = name
    return _text(domain)


def disks(xml: str) -> list[str]:
    """Return the target devices of all disks."""
    return [target.get('dev', '') for target in etree.fromstring(
        xml).iterfind('devices/disk/target')]


def has_agent(xml: str) -> bool:
    """Say whether there is a channel for the guest agent."""
    return etree.fromstring(xml).find(
        'devices/channel/target[@name="org.qemu.guest_agent.0"]'
    ) is not None


def with_agent_state(xml: str, connected: bool) -> str:
    """Return the XML that says whether the agent's channel is open."""
    domain = etree.fromstring(xml)
    for target in domain.iterfind('devices/channel/target'):
        target.set('state', 'connected' if connected else 'disconnected')
    return _text(domain)


def with_source(xml: str, target_dev: str, other: str) -> str:
    """Return the XML in which a disk is kept where another one is."""
    domain, source = etree.fromstring(xml), etree.fromstring(other)
    for disk in domain.iterfind('devices/disk'):
        target, old = disk.find('target'), disk.find('source')
        new = source.find('source')
        if (target is not None and old is not None and new is not None
                and target.get('dev') == target_dev):
            disk.set('type', source.get('type', ''))
            disk.replace(old, copy.deepcopy(new))
    return _text(domain)


def with_files(
        xml: str, target_dev: str,
        change: Callable[[list[str]], list[str]]) -> str:
    """Return the XML in which a disk consists of other files.

    :param change: gets the paths, the one that is written to first
    """
    domain = etree.fromstring(xml)
    for disk in domain.iterfind('devices/disk'):
        target = disk.find('target')
        if target is None or target.get('dev') != target_dev:
            continue
        path, *below = change([
            str(source.get('file')) for source in disk.iter('source')])
        for store in disk.findall('backingStore'):
            disk.remove(store)
        source = disk.find('source')
        assert source is not None
        source.set('file', path)
        place = disk
        for path in below:
            place = etree.SubElement(place, 'backingStore', type='file')
            etree.SubElement(place, 'source', file=path)
    return _text(domain)


def with_mirror(xml: str, target_dev: str) -> str:
    """Return the XML that says that a disk's copy is complete."""
    domain = etree.fromstring(xml)
    for disk in domain.iterfind('devices/disk'):
        target = disk.find('target')
        if target is not None and target.get('dev') == target_dev:
            etree.SubElement(disk, 'mirror', job='copy', ready='yes')
    return _text(domain)


def metadata(xml: str, namespace: str) -> str | None:
    """Return the metadata of a namespace without it, as libvirt does."""
    for element in etree.fromstring(xml).iterfind(
            f'metadata/{{{namespace}}}*'):
        for inner in element.iter('*'):
            inner.tag = etree.QName(inner).localname
        etree.cleanup_namespaces(element)
        return etree.tostring(element, encoding='unicode', with_tail=False)
    return None


def with_metadata(
        xml: str, new: str | None, key: str | None, namespace: str) -> str:
    """Return the XML with other metadata of a namespace, or none."""
    domain = etree.fromstring(xml)
    holder = domain.find('metadata')
    if holder is None:
        holder = etree.SubElement(domain, 'metadata')
    for old in holder.findall(f'{{{namespace}}}*'):
        holder.remove(old)
    if new is not None:
        holder.append(_in_namespace(
            etree.fromstring(new), key or '', namespace))
    return _text(domain)


def _in_namespace(
        element: etree._Element, key: str,
        namespace: str) -> etree._Element:
    name = f'{{{namespace}}}{etree.QName(element).localname}'
    copy = etree.Element(name, nsmap={key: namespace})
    copy.text = element.text
    copy.attrib.update(element.attrib)
    copy.extend(_in_namespace(inner, key, namespace) for inner in element)
    return copy


def _text(domain: etree._Element) -> str:
    return etree.tostring(domain, encoding='unicode')
