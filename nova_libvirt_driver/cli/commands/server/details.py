# SPDX-License-Identifier: Apache-2.0

"""What is shown of one server: it comes from its XML, and from no record."""

from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import re
from typing import Any

from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import devices
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel.devices import interface
from nova_libvirt_driver.xmlmodel import domain as domain_model

Fields = dict[str, Any]

_KIB_PER_MIB = 1024
_MOMENT = re.compile(r'\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d')


def fields(
        xml: str, status: str, images: ports.ImageSource, *,
        reason: str = '', autostart: bool = False,
        addresses: Sequence[nic_spec.FoundAddress] = (),
        forwards: Sequence[nic_spec.PortForward] = ()) -> Fields:
    """Return the fields of a server, in the order in which they are shown.

    :param xml: of its domain
    :param status: how it is
    :param reason: libvirt's word for why it does not run
    :param images: where the name of its image is known, perhaps
    :param addresses: under which it can be reached
    :param forwards: ports of the host that lead into it
    :param autostart: whether the service is to start it by itself
    """
    domain = domain_model.Domain.parse(xml)
    instance, flavor = domain.instance, domain.instance.flavor
    return {
        'id': domain.uuid or '',
        'name': cells.Text(instance.display_name or domain.name or ''),
        'domain': cells.Text(domain.name or ''),
        'status': status,
        'status_reason': reason,
        'autostart': autostart,
        'created_at': _iso(instance.creation_time or ''),
        'image': cells.Text(_image_name(instance.root_uuid, images)),
        'image_id': cells.Text(instance.root_uuid or ''),
        'flavor': cells.Text(flavor.name or ''),
        'vcpus': cells.Number(domain.vcpus),
        'memory_mib': cells.Number(_mib(domain.memory_kib)),
        'machine': domain.os.machine or '',
        'firmware': _firmware(domain),
        'disks': cells.Worded(
            disks := [_disk(disk) for disk in domain.devices.disks],
            '\n'.join(_disk_words(disk, domain.uuid) for disk in disks)),
        'networks': cells.Records([
            _network(nic) for nic in domain.devices.interfaces]),
        'addresses': cells.Records([{
            'address': one.address, 'mac': one.mac, 'source': one.source,
        } for one in addresses]),
        'forwards': cells.Worded(
            [dataclasses.asdict(one) for one in forwards],
            ', '.join(f'{one.address}:{one.host_port} to {one.guest_port}'
                      f'/{one.protocol}' for one in forwards)),
        'consoles': cells.Records(list(_consoles(domain))),
    }


def forwards(
        spec: guest_spec.GuestSpec | None) -> list[nic_spec.PortForward]:
    """Return the ports of the host that lead into a guest."""
    return [one for nic in (spec.nics if spec else ())
            for one in nic.forwards]


def _iso(text: str) -> str:
    """Return a time of Nova's metadata, which is in UTC."""
    return f'{text.replace(" ", "T")}Z' if _MOMENT.fullmatch(text) else text


def _image_name(image_id: str | None, images: ports.ImageSource) -> str:
    if not image_id:
        return ''
    try:
        return images.show(image_id).name
    except exception.DriverError:
        # It may be deleted, or of another service.
        return ''


def _mib(kib: int | None) -> int | None:
    return None if kib is None else kib // _KIB_PER_MIB


def _firmware(domain: domain_model.Domain) -> str:
    if domain.os.kernel:
        return 'kernel'
    is_uefi = domain.os.firmware == 'efi' or domain.os.loader
    return 'uefi' if is_uefi else 'bios'


def _disk(disk: disk_model.Disk) -> Fields:
    return {'device': disk.target_dev, 'bus': disk.target_bus,
            'type': disk.device, 'format': disk.driver_type,
            'source': devices.source_of(disk) or None}


def _disk_words(disk: Fields, uuid: str | None) -> str:
    """Return a disk for people: of its server's folder, the beginning is cut.

    The whole path fits no terminal of 80 columns.
    """
    own = f'/{uuid}/'
    source = disk['source'] or ''
    if uuid and own in source:
        source = f'.../{source.rpartition(own)[2]}'
    return ' '.join(filter(None, (
        disk['device'], disk['bus'], disk['type'], disk['format'], source)))


def _network(nic: interface.Interface) -> Fields:
    return {'mac': nic.mac, 'model': nic.model, 'kind': nic.type,
            'source': (nic.source_bridge or nic.source_network
                       or nic.source_path),
            'device': nic.target_dev}


def _consoles(domain: domain_model.Domain) -> Iterator[Fields]:
    for graphics in domain.devices.graphics:
        port = graphics.port
        is_there = port is not None and port > 0
        yield _console(graphics.type or '', '',
                       graphics.listen if is_there else None,
                       port if is_there else None, None)
    for serial in domain.devices.serials:
        port_text = serial.source_service or ''
        yield _console(
            'serial', serial.type or '', serial.source_host,
            int(port_text) if port_text.isdecimal() else None,
            serial.source_path)


def _console(
        kind: str, type_: str, host: str | None, port: int | None,
        path: str | None) -> Fields:
    return {'kind': kind, 'type': type_ or None, 'host': host, 'port': port,
            'path': path}
