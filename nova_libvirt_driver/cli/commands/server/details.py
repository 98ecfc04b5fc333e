# SPDX-License-Identifier: Apache-2.0

"""What is shown of one server: it comes from its XML, and from no record."""

from collections.abc import Iterator
from typing import Any

from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import devices
from nova_libvirt_driver import ports
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel.devices import interface
from nova_libvirt_driver.xmlmodel import domain as domain_model

Fields = dict[str, Any]

_KIB_PER_MIB = 1024


def fields(xml: str, status: str, images: ports.ImageSource) -> Fields:
    """Return the fields of a server, in the order in which they are shown.

    :param xml: of its domain
    :param status: how it is
    :param images: where the name of its image is known, perhaps
    """
    domain = domain_model.Domain.parse(xml)
    instance, flavor = domain.instance, domain.instance.flavor
    return {
        'id': domain.uuid or '',
        'name': cells.Text(instance.display_name or domain.name or ''),
        'domain': cells.Text(domain.name or ''),
        'status': status,
        'created_at': instance.creation_time or '',
        'image': cells.Text(_image_name(instance.root_uuid, images)),
        'image_id': cells.Text(instance.root_uuid or ''),
        'flavor': cells.Text(flavor.name or ''),
        'vcpus': cells.Number(domain.vcpus),
        'memory_mib': cells.Number(_mib(domain.memory_kib)),
        'machine': domain.os.machine or '',
        'firmware': _firmware(domain),
        'disks': cells.Lines([
            _disk(disk) for disk in domain.devices.disks]),
        'networks': cells.Lines([
            _network(nic) for nic in domain.devices.interfaces]),
        'consoles': cells.Lines(list(_consoles(domain))),
    }


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


def _disk(disk: disk_model.Disk) -> str:
    words = (disk.target_dev, disk.target_bus, disk.device,
             disk.driver_type, devices.source_of(disk))
    return ' '.join(word for word in words if word)


def _network(nic: interface.Interface) -> str:
    source = nic.source_bridge or nic.source_network or nic.source_path
    words = (nic.mac, nic.model, nic.type, source, nic.target_dev)
    return ' '.join(word for word in words if word)


def _consoles(domain: domain_model.Domain) -> Iterator[str]:
    for graphics in domain.devices.graphics:
        port = graphics.port
        where = f' {graphics.listen}:{port}' if port and port > 0 else ''
        yield f'{graphics.type}{where}'
    for serial in domain.devices.serials:
        if serial.type == 'tcp':
            yield (f'serial tcp {serial.source_host}:'
                   f'{serial.source_service}')
        else:
            path = serial.source_path
            yield f'serial {serial.type}' + (f' {path}' if path else '')
