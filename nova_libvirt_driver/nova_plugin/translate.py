# SPDX-License-Identifier: Apache-2.0

"""From Nova's objects to the guest to be made."""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import datetime
from typing import Any

from nova.virt import driver as nova_driver
from nova.virt import hardware
from oslo_utils import strutils

import nova.conf
from nova_libvirt_driver import exception
from nova_libvirt_driver.images import properties
from nova_libvirt_driver.nova_plugin import interfaces
from nova_libvirt_driver.nova_plugin import quota
from nova_libvirt_driver.nova_plugin import tpm
from nova_libvirt_driver.nova_plugin import virtual_cpus
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver import version

CONF = nova.conf.CONF

_MIB_PER_GIB = 1024
# What the kernel takes for a tap.
_MAX_QUEUES = 256

# Flavors ask for the same things as images, and win.
_BY_FLAVOR = {
    'hw:boot_menu': 'hw_boot_menu',
    'hw:firmware_stateless': 'hw_firmware_stateless',
    'hw:hide_hypervisor_id': 'img_hide_hypervisor_id',
    'hw:mem_encryption': 'hw_mem_encryption',
    'hw:pmu': 'hw_pmu',
    'hw:sound_model': 'hw_sound_model',
    'hw:viommu_model': 'hw_viommu_model',
    'hw:watchdog_action': 'hw_watchdog_action',
    'os:secure_boot': 'os_secure_boot',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """Nova's objects that say what a guest is like."""

    instance: Any
    image_meta: Any
    network_info: Any = ()
    block_device_info: Mapping[str, Any] | None = None
    config_drive: configdrive_spec.ConfigDriveSpec | None = None
    cells: tuple[host_spec.HostCell, ...] = ()
    """NUMA nodes of the host."""


def guest(request: Request) -> guest_spec.GuestSpec:
    """Return the guest that Nova wants.

    :raises InvalidRequest: it asks for what this driver does not do
    """
    instance = request.instance
    flavor = instance.flavor
    spec = guest_spec.GuestSpec(
        uuid=instance.uuid, name=instance.name,
        metadata=_metadata(instance),
        cpu=virtual_cpus.spec(instance, request.image_meta, request.cells),
        memory=_memory(instance, request.image_meta),
        boot=boot_spec.BootSpec(
            kernel_image_id=instance.kernel_id or '',
            ramdisk_image_id=instance.ramdisk_id or ''),
        storage=_storage(request),
        nics=tuple(quota.limited(nic, flavor.extra_specs) for nic
                   in interfaces.nics(request.network_info or ())),
        consoles=_consoles(),
        devices=device_spec.DeviceSpec(
            pointer=CONF.pointer_model or ''),
        config_drive=request.config_drive)
    spec = properties.apply(
        spec, _properties(request.image_meta, flavor.extra_specs))
    spec = dataclasses.replace(spec, devices=dataclasses.replace(
        spec.devices, tpm=tpm.spec(instance)))
    return _with_queues(request, spec)


def _with_queues(
        request: Request, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
    """Give virtio cards a queue for each virtual CPU, if that is asked."""
    flavor, image_meta = request.instance.flavor, request.image_meta
    queues = None
    if hardware.get_vif_multiqueue_constraint(flavor, image_meta):
        queues = min(spec.cpu.vcpus, CONF.libvirt.max_queues or _MAX_QUEUES)
    packed = hardware.get_packed_virtqueue_constraint(flavor, image_meta)
    return dataclasses.replace(spec, nics=tuple(
        dataclasses.replace(nic, queues=queues, packed_ring=bool(packed))
        if nic.model in ('', 'virtio') else nic for nic in spec.nics))


def _metadata(instance: Any) -> guest_spec.GuestMetadata:
    created = datetime.datetime.now(datetime.UTC)
    return guest_spec.GuestMetadata(
        display_name=instance.display_name or instance.name,
        flavor=_flavor(instance.flavor),
        created_at=created.strftime('%Y-%m-%dT%H:%M:%S'),
        owner=_owner(instance), image_id=instance.image_ref or '',
        package_version=version.version())


def _flavor(flavor: Any) -> flavor_spec.Flavor:
    return flavor_spec.Flavor(
        id=str(flavor.flavorid), name=flavor.name, vcpus=flavor.vcpus,
        memory_mib=flavor.memory_mb, root_gib=flavor.root_gb,
        ephemeral_gib=flavor.ephemeral_gb, swap_mib=flavor.swap,
        extra_specs=dict(flavor.extra_specs or {}))


def _owner(instance: Any) -> guest_spec.Owner:
    return guest_spec.Owner(
        user_id=instance.user_id or '', project_id=instance.project_id or '',
        user_name=getattr(instance, 'user_name', '') or '',
        project_name=getattr(instance, 'project_name', '') or '')


def _memory(instance: Any, image_meta: Any) -> memory_spec.MemorySpec:
    # A page that comes back from the disk would keep a CPU waiting.
    locked = virtual_cpus.is_realtime(instance, image_meta) or (
        strutils.bool_from_string((instance.flavor.extra_specs or {}).get(
            'hw:locked_memory', 'no')))
    return memory_spec.MemorySpec(
        size_mib=instance.flavor.memory_mb, locked=locked)


def _storage(request: Request) -> disk_spec.StorageSpec:
    info = request.block_device_info
    if nova_driver.block_device_info_get_mapping(info):
        raise exception.InvalidRequest(
            reason='this driver does not attach volumes yet')
    swap = nova_driver.block_device_info_get_swap(info)
    is_iso = request.image_meta.obj_attr_is_set('disk_format') and (
        request.image_meta.disk_format == 'iso')
    return disk_spec.StorageSpec(
        image_id=request.instance.image_ref or '',
        root_gib=request.instance.flavor.root_gb,
        root_device=(disk_spec.DiskDevice.CDROM if is_iso
                     else disk_spec.DiskDevice.DISK),
        ephemerals=tuple(_ephemerals(
            nova_driver.block_device_info_get_ephemerals(info))),
        swap=(disk_spec.LocalDisk(size_mib=swap['swap_size'])
              if nova_driver.swap_is_usable(swap) else None),
        iotune=quota.disk(request.instance.flavor.extra_specs or {}))


def _ephemerals(
        devices: Iterable[Mapping[str, Any]]) -> Iterable[disk_spec.LocalDisk]:
    for device in devices:
        yield disk_spec.LocalDisk(
            size_mib=device['size'] * _MIB_PER_GIB,
            filesystem=device.get('guest_format') or '')


def _consoles() -> console_spec.ConsoleSpec:
    graphics = []
    if CONF.vnc.enabled:
        graphics.append(console_spec.GraphicsSpec(
            kind=console_spec.GraphicsKind.VNC,
            listen=str(CONF.vnc.server_listen)))
    if CONF.spice.enabled:
        graphics.append(console_spec.GraphicsSpec(
            kind=console_spec.GraphicsKind.SPICE,
            listen=str(CONF.spice.server_listen)))
    serial = console_spec.SerialSpec()
    if CONF.serial_console.enabled:
        serial = console_spec.SerialSpec(
            kind=console_spec.SerialKind.TCP,
            listen=str(CONF.serial_console.proxyclient_address))
    return console_spec.ConsoleSpec(
        serials=(serial,), graphics=tuple(graphics))


def _properties(
        image_meta: Any, extra_specs: Mapping[str, str]) -> dict[str, str]:
    asked = {}
    # The kernel and the RAM disk are fields of the instance instead.
    for name in properties.CHANGES.keys() & image_meta.properties.fields:
        value = image_meta.properties.get(name)
        if value is not None:
            asked[name] = str(value)
    for spec_name, name in _BY_FLAVOR.items():
        if spec_name in extra_specs:
            asked[name] = extra_specs[spec_name]
    if not strutils.bool_from_string(
            extra_specs.get('hw_rng:allowed', 'true')):
        asked.pop('hw_rng_model', None)
    return asked
