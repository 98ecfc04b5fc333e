# SPDX-License-Identifier: Apache-2.0

"""Tells a server which of its devices has which tag of its user.

The metadata service and the config drive show it; see
``nova.objects.virt_device_metadata``.
"""

from collections.abc import Iterator
from typing import Any

from nova import block_device
from nova import objects
from nova.pci import utils as pci_utils
from nova.virt import netutils

from nova_libvirt_driver.xmlmodel.devices import device as device_model
from nova_libvirt_driver.xmlmodel import domain as domain_module

# Classes that Nova registers when it starts.
_BUSES = {'ide': 'IDEDeviceBus', 'scsi': 'SCSIDeviceBus',
          'usb': 'USBDeviceBus'}


def built(
        context: Any, instance: Any, network_info: Any, xml: str) -> Any:
    """Return what the devices of a server are for, None for nothing.

    Asks the database of the cloud.

    :param xml: of the domain, with the addresses of its devices
    """
    domain = domain_module.Domain.parse(xml)
    devices = [*_interfaces(context, instance, network_info, domain),
               *_disks(context, instance, domain)]
    if not devices:
        return None
    return objects.InstanceDeviceMetadata(devices=devices)


def _interfaces(
        context: Any, instance: Any, network_info: Any,
        domain: domain_module.Domain) -> Iterator[Any]:
    """Yield the interfaces that have a tag or a VLAN."""
    vlans = netutils.get_cached_vifs_with_vlan(network_info)
    trusted = netutils.get_cached_vifs_with_trusted(network_info)
    tags = {vif.address: vif.tag for vif in
            objects.VirtualInterfaceList.get_by_instance_uuid(
                context, instance.uuid) if 'tag' in vif and vif.tag}
    for nic in domain.devices.interfaces:
        if nic.mac not in tags and nic.mac not in vlans:
            continue
        found = objects.NetworkInterfaceMetadata(
            mac=nic.mac, vf_trusted=trusted.get(nic.mac, False))
        if nic.mac in tags:
            found.tags = [tags[nic.mac]]
        if nic.mac in vlans:
            found.vlan = int(vlans[nic.mac])
        _place(found, nic)
        yield found


def _disks(
        context: Any, instance: Any,
        domain: domain_module.Domain) -> Iterator[Any]:
    """Yield the disks that have a tag."""
    tagged = {
        block_device.strip_dev(device.device_name): device for device in
        objects.BlockDeviceMappingList.get_by_instance_uuid(
            context, instance.uuid) if device.tag}
    for disk in domain.devices.disks:
        device = tagged.get(disk.target_dev)
        if device is not None:
            # When the volume is detached it is found by this number.
            found = objects.DiskMetadata(
                tags=[device.tag], serial=device.volume_id)
            _place(found, disk, disk.target_bus)
            yield found


def _place(
        found: Any, device: device_model.Device,
        bus: str | None = None) -> None:
    """Say on which bus a device is, and where on PCI.

    Of other buses Nova's own driver says no address, either.
    """
    address = device.address
    if address.type == 'pci' and address.domain:
        found.bus = objects.PCIDeviceBus(address=pci_utils.get_pci_address(*(
            (part or '').removeprefix('0x') for part in (
                address.domain, address.bus, address.slot,
                address.function))))
    elif bus in _BUSES:
        found.bus = getattr(objects, _BUSES[bus])()
