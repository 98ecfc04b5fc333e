# SPDX-License-Identifier: Apache-2.0

"""Devices that the fake hypervisor plugs into its guests, and out of them.

Owns how the XML changes and what a guest does about it. Libvirt's errors for
a device that is not there differ by kind, by version and by what was asked,
so a test chooses one.
"""

from collections.abc import Callable
import dataclasses
import enum

import libvirt
from lxml import etree

from nova_libvirt_driver.testing import fake_fault

_KINDS = ('disk', 'interface', 'controller')


class Unplug(enum.Enum):
    """What a guest does that is asked to let go of a device."""

    OBEY = 'obey'
    IGNORE = 'ignore'
    REFUSE = 'refuse'


@dataclasses.dataclass(slots=True)
class Hotplug:
    """How one guest takes devices."""

    unplug: Unplug = Unplug.OBEY
    asked: list[str] = dataclasses.field(default_factory=list)
    """Aliases of what it was asked for, each time QEMU was told to."""
    pending: set[str] = dataclasses.field(default_factory=set)
    """Aliases of what QEMU still waits for."""
    missing: int = libvirt.VIR_ERR_DEVICE_MISSING
    """Error for a device that is not there."""
    aliases: bool = True
    """Libvirt names the devices of the guest that runs."""
    happens: dict[str, Callable[[], object]] = dataclasses.field(
        default_factory=dict)
    """What happens when a device ``was attached``; before it is taken ``from
    the definition`` or the guest is ``asked``, and once it ``was asked``."""

    def reach(self, point: str) -> None:
        """Let happen what was arranged for this moment, once."""
        self.happens.pop(point, lambda: None)()


def named(xml: str) -> str:
    """Return the XML of a guest whose devices all have an alias."""
    domain = etree.fromstring(xml)
    taken = {alias.get('name') for alias in domain.iterfind(
        'devices/*/alias')}
    for number, device in enumerate(_devices(domain)):
        if device.find('alias') is None:
            alias = f'{device.tag}{number}'
            while alias in taken:
                alias += '0'
            etree.SubElement(device, 'alias', name=alias)
            taken.add(alias)
    return _text(domain)


def plugged(xml: str, device_xml: str) -> str:
    """Return the XML with another device.

    :raises libvirt.libvirtError: another one has its place
    """
    domain = etree.fromstring(xml)
    device = etree.fromstring(device_xml)
    target = _target(device)
    if device.tag == 'disk' and any(
            _target(disk) == target
            for disk in domain.iterfind('devices/disk')):
        raise fake_fault.libvirt_error(
            libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_FROM_QEMU,
            f'operation failed: target {target} already exists')
    holder = domain.find('devices')
    assert holder is not None
    holder.append(device)
    return _text(domain)


def alias_of(xml: str, device_xml: str, missing: int) -> str:
    """Return the alias of a device that is there, empty when it has none.

    :raises libvirt.libvirtError: it is not there
    """
    found = _find(etree.fromstring(xml), device_xml, missing)
    alias = found.find('alias')
    return '' if alias is None else alias.get('name', '')


def unplugged(xml: str, device_xml: str, missing: int) -> str:
    """Return the XML without a device.

    :raises libvirt.libvirtError: it is not there
    """
    domain = etree.fromstring(xml)
    found = _find(domain, device_xml, missing)
    holder = found.getparent()
    assert holder is not None
    holder.remove(found)
    return _text(domain)


def without(xml: str, alias: str) -> str:
    """Return the XML without the device of that alias."""
    domain = etree.fromstring(xml)
    for found in domain.iterfind('devices/*/alias'):
        device = found.getparent()
        if found.get('name') == alias and device is not None:
            holder = device.getparent()
            assert holder is not None
            holder.remove(device)
    return _text(domain)


def _find(
        domain: etree._Element, device_xml: str,
        missing: int) -> etree._Element:
    wanted = etree.fromstring(device_xml)
    for device in domain.iterfind(f'devices/{wanted.tag}'):
        if _is_same(device, wanted):
            return device
    raise fake_fault.libvirt_error(
        missing, libvirt.VIR_FROM_QEMU,
        f'device not found: no matching {wanted.tag} was found')


def _is_same(device: etree._Element, wanted: etree._Element) -> bool:
    if wanted.tag == 'disk':
        return _target(device) == _target(wanted)
    if wanted.tag == 'controller':
        return (device.get('type'), device.get('index')) == (
            wanted.get('type'), wanted.get('index'))
    return _mac(device) == _mac(wanted) and (
        not _target(wanted) or _target(device) == _target(wanted))


def _mac(device: etree._Element) -> str:
    mac = device.find('mac')
    return '' if mac is None else mac.get('address', '').lower()


def _target(device: etree._Element) -> str:
    target = device.find('target')
    return '' if target is None else target.get('dev', '')


def _devices(domain: etree._Element) -> list[etree._Element]:
    return [device for kind in _KINDS
            for device in domain.iterfind(f'devices/{kind}')]


def _text(domain: etree._Element) -> str:
    return etree.tostring(domain, encoding='unicode')
