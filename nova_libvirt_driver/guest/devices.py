# SPDX-License-Identifier: Apache-2.0

"""What the XML of a domain says of its devices, for whoever only looks."""

import dataclasses

from lxml import etree


@dataclasses.dataclass(frozen=True, slots=True)
class Disk:
    """One disk; what the XML does not say is empty."""

    target_dev: str
    device: str
    bus: str
    format: str
    source: str
    """File, block device, or name of the export."""


@dataclasses.dataclass(frozen=True, slots=True)
class Interface:
    """One interface; what the XML does not say is empty."""

    mac: str
    target_dev: str
    """Its device on the host, while the guest is up."""
    kind: str
    model: str


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """Where a console answers; a port is None when there is none."""

    address: str
    port: int | None
    tls_port: int | None = None


def is_live(xml: str) -> bool:
    """Say whether it is the XML of a guest that is up."""
    return _parse(xml).get('id') is not None


def disks(xml: str) -> tuple[Disk, ...]:
    """Return all disks, in the order of the XML."""
    return tuple(
        Disk(target_dev=_get(disk, 'target', 'dev'),
             device=disk.get('device', 'disk'),
             bus=_get(disk, 'target', 'bus'),
             format=_get(disk, 'driver', 'type'),
             source=_source(disk))
        for disk in _parse(xml).iterfind('devices/disk'))


def interfaces(xml: str) -> tuple[Interface, ...]:
    """Return all interfaces, in the order of the XML."""
    return tuple(
        Interface(mac=_get(interface, 'mac', 'address'),
                  target_dev=_get(interface, 'target', 'dev'),
                  kind=interface.get('type', ''),
                  model=_get(interface, 'model', 'type'))
        for interface in _parse(xml).iterfind('devices/interface'))


def graphics(xml: str, kind: str) -> Server | None:
    """Return where the graphical console of a kind answers."""
    found = _parse(xml).find(f'devices/graphics[@type="{kind}"]')
    if found is None:
        return None
    return Server(found.get('listen', _get(found, 'listen', 'address')),
                  _port(found.get('port')), _port(found.get('tlsPort')))


def serial_server(xml: str) -> Server | None:
    """Return where the first serial port with a TCP server answers."""
    devices = _parse(xml).find('devices')
    if devices is None:
        return None
    for tag in ('serial', 'console'):
        source = devices.find(f'{tag}[@type="tcp"]/source[@mode="bind"]')
        if source is not None:
            return Server(source.get('host', ''),
                          _port(source.get('service')))
    return None


def _source(disk: etree._Element) -> str:
    source = disk.find('source')
    if source is None:
        return ''
    for name in ('file', 'dev', 'name'):
        value = source.get(name)
        if value:
            return value
    return ''


def _get(element: etree._Element, path: str, name: str) -> str:
    found = element.find(path)
    return '' if found is None else found.get(name, '')


def _port(text: str | None) -> int | None:
    # Libvirt says -1 for a port that it chooses at the next start.
    if text is None or not text.isdecimal():
        return None
    return int(text) or None


def _parse(xml: str) -> etree._Element:
    return etree.fromstring(xml, etree.XMLParser(
        resolve_entities=False, no_network=True))
