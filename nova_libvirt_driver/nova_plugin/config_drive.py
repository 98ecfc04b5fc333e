# SPDX-License-Identifier: Apache-2.0

"""What a guest reads about itself, as Nova builds it.

Also which of its devices has which tag of its user: the metadata service and
the config drive show it; see ``nova.objects.virt_device_metadata``.
"""

import base64
from collections.abc import Iterator
from typing import Any

from nova.api.metadata import base as metadata
from nova import block_device
import nova.conf
from nova import objects
from nova.pci import utils as pci_utils
from nova.virt import configdrive
from nova.virt import netutils
from oslo_log import log as logging

from nova_libvirt_driver import driver as core_driver
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.xmlmodel.devices import device as device_model
from nova_libvirt_driver.xmlmodel import domain as domain_module

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

# Classes that Nova registers when it starts.
_BUSES = {'ide': 'IDEDeviceBus', 'scsi': 'SCSIDeviceBus',
          'usb': 'USBDeviceBus'}


def wanted(instance: Any) -> configdrive_spec.ConfigDriveSpec | None:
    """Return the drive of a guest that exists already, None for none.

    It has no content: the drive is there, and stays as it is.
    """
    if not configdrive.required_by(instance):
        return None
    return configdrive_spec.ConfigDriveSpec(device=_device())


def _device() -> str:
    return 'disk' if CONF.config_drive_format == 'vfat' else 'cdrom'


def built(
        instance: Any, network_info: Any, *, files: Any = None,
        admin_password: str | None = None
) -> configdrive_spec.ConfigDriveSpec | None:
    """Return a drive with its content, None for a guest that has none.

    Asks the database of the cloud.

    :param files: pairs of a path and its content
    """
    if not configdrive.required_by(instance):
        return None
    content = metadata.InstanceMetadata(
        instance, content=files, network_info=network_info,
        extra_md={'admin_pass': admin_password} if admin_password else {})
    return configdrive_spec.ConfigDriveSpec(device=_device(), prebuilt={
        path: base64.b64encode(
            data.encode() if isinstance(data, str) else data).decode()
        for path, data in content.metadata_for_config_drive()})


def tagged_devices(
        context: Any, instance: Any, network_info: Any, xml: Any) -> Any:
    """Return what the devices of a server are for, None for nothing.

    Asks the database of the cloud.

    :param xml: function that returns that of the domain, with the addresses
        of its devices; is called when a device has a tag
    """
    devices = [*_interfaces(context, instance, network_info, xml),
               *_disks(context, instance, xml)]
    if not devices:
        return None
    return objects.InstanceDeviceMetadata(devices=devices)


def note_devices(
        core: core_driver.LibvirtDriver, context: Any, instance: Any) -> None:
    """Let a server read of its devices that have tags, as they are."""
    try:
        instance.device_metadata = tagged_devices(
            context, instance, instance.get_network_info(),
            lambda: core.get_domain_xml(instance))
        instance.save()
    except Exception as error:
        # It has the device, and Nova must not think otherwise.
        LOG.warning('The server cannot read of the tags of its devices: '
                    '%s', error, instance=instance)


def forget_devices(
        core: core_driver.LibvirtDriver, context: Any, instance: Any) -> None:
    """Let a server read no more of a device that was taken from it."""
    try:
        if not instance.device_metadata or not core.instance_exists(instance):
            return
        # Nova looks into it for a disk that it has detached.
        instance.device_metadata = tagged_devices(
            context, instance, instance.get_network_info(),
            lambda: core.get_domain_xml(instance)
        ) or objects.InstanceDeviceMetadata(devices=[])
        instance.save()
    except Exception as error:
        LOG.warning('The server may still read of the tag of a device that '
                    'it has lost: %s', error, instance=instance)


def _interfaces(
        context: Any, instance: Any, network_info: Any, xml: Any,
) -> Iterator[Any]:
    """Yield the interfaces that have a tag or a VLAN."""
    vlans = netutils.get_cached_vifs_with_vlan(network_info)
    trusted = netutils.get_cached_vifs_with_trusted(network_info)
    tags = {vif.address: vif.tag for vif in
            objects.VirtualInterfaceList.get_by_instance_uuid(
                context, instance.uuid) if 'tag' in vif and vif.tag}
    for nic in (domain_module.Domain.parse(xml()).devices.interfaces
                if tags or vlans else ()):
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


def _disks(context: Any, instance: Any, xml: Any) -> Iterator[Any]:
    """Yield the disks that have a tag."""
    tagged = {
        block_device.strip_dev(device.device_name): device for device in
        objects.BlockDeviceMappingList.get_by_instance_uuid(
            context, instance.uuid) if device.tag}
    for disk in (domain_module.Domain.parse(xml()).devices.disks
                 if tagged else ()):
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
