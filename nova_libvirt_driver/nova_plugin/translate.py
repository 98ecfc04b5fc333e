# SPDX-License-Identifier: Apache-2.0

"""From Nova's objects to the guest to be made."""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import datetime
from typing import Any

from nova import exception as nova_exception
from nova import objects
from nova.objects import fields
from nova import version
from nova.virt import driver as nova_driver
from nova.virt import hardware
from nova.virt import osinfo
from oslo_utils import strutils

import nova.conf
from nova_libvirt_driver import exception
from nova_libvirt_driver.images import properties
from nova_libvirt_driver.nova_plugin import devices
from nova_libvirt_driver.nova_plugin import interfaces
from nova_libvirt_driver.nova_plugin import quota
from nova_libvirt_driver.nova_plugin import tpm
from nova_libvirt_driver.nova_plugin import virtual_cpus
from nova_libvirt_driver.nova_plugin import volumes
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.spec import memory as memory_spec

CONF = nova.conf.CONF

_MIB_PER_GIB = 1024
_FILE_SYSTEMS = {'linux': 'ext4', 'windows': 'ntfs'}
"""Of ephemeral disks, by the operating system, where nothing names one."""
# What Nova notes of an image, and under which names.
_IMAGE_FIELDS = {'container_format': 'containerFormat',
                 'disk_format': 'diskFormat', 'min_disk': 'minDisk',
                 'min_ram': 'minRam'}
# A PC has one more; Nova leaves it out.
_MAX_SERIAL_PORTS = 3

# What flavors ask for as well as images, and who wins.
_FLAVOR_FIRST = {
    'hw:mem_encryption': 'hw_mem_encryption',
    'hw:viommu_model': 'hw_viommu_model',
}
_IMAGE_FIRST = {
    'hw:boot_menu': 'hw_boot_menu',
    'hw:watchdog_action': 'hw_watchdog_action',
}
# What is decided in devices.py, by Nova's own rules.
_BY_DEVICES = ('hw_input_bus', 'hw_pmu', 'hw_pointer_model', 'hw_rng_model',
               'hw_sound_model', 'os_secure_boot', 'os_type')
_HIDING = ('hide_hypervisor_id', 'hw:hide_hypervisor_id')


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
    mode = fields.VMMode.get_from_instance(instance)
    if mode not in (None, fields.VMMode.HVM):
        raise exception.InvalidRequest(
            reason=f'QEMU runs no guests of the mode {mode}')
    secure_boot = hardware.get_secure_boot_constraint(
        flavor, request.image_meta)
    spec = guest_spec.GuestSpec(
        uuid=instance.uuid, name=instance.name,
        metadata=_metadata(instance),
        cpu=virtual_cpus.spec(instance, request.image_meta, request.cells),
        memory=_memory(instance, request.image_meta),
        boot=boot_spec.BootSpec(
            secure_boot=secure_boot == 'required',
            secure_boot_if_possible=secure_boot == 'optional',
            kernel_image_id=instance.kernel_id or '',
            ramdisk_image_id=instance.ramdisk_id or ''),
        storage=_storage(request),
        consoles=_consoles(flavor, request.image_meta),
        devices=devices.spec(instance, request.image_meta),
        features=device_spec.FeatureSpec(
            apic=not CONF.workarounds.libvirt_disable_apic,
            pmu=hardware.get_pmu_constraint(flavor, request.image_meta),
            os_type=(device_spec.OsType.WINDOWS
                     if instance.os_type == 'windows'
                     else device_spec.OsType.OTHER)),
        config_drive=request.config_drive)
    spec = properties.apply(
        spec, _properties(request.image_meta, flavor.extra_specs))
    spec = dataclasses.replace(spec, devices=dataclasses.replace(
        spec.devices, tpm=tpm.spec(instance)))
    return with_ports(request, spec)


def rescued(request: Request, image_meta: Any) -> guest_spec.GuestSpec:
    """Return a guest that starts from a rescue image alone.

    Its hardware is what that image asks for, as with Nova's own driver: an
    image may have no drivers for that of the guest, or not know its firmware.

    :param image_meta: Nova's, of the rescue image
    :raises InvalidRequest: it asks for what this driver does not do
    """
    spec = guest(dataclasses.replace(request, image_meta=image_meta))
    # It is a disk, though the rescue image may be one of a CD.
    return dataclasses.replace(spec, storage=dataclasses.replace(
        spec.storage, root_bus=None, root_device=disk_spec.DiskDevice.DISK))


def with_ports(
        request: Request, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
    """Return a guest with an interface for each port.

    :raises InvalidRequest: a port is of a type that is not supported
    """
    spec = dataclasses.replace(spec, nics=tuple(
        quota.limited(nic, request.instance.flavor.extra_specs)
        for nic in interfaces.nics(request.network_info or ())))
    model = osinfo.HardwareProperties(request.image_meta).network_model
    if model is not None:
        spec = properties.apply(spec, {'hw_vif_model': str(model)})
    return _with_queues(request, spec)


def features(instance: Any) -> device_spec.FeatureSpec:
    """Return what is asked about snapshots and the administrator."""
    asked = objects.ImageMeta.from_instance(instance).properties
    return device_spec.FeatureSpec(
        os_type=(device_spec.OsType.WINDOWS if instance.os_type == 'windows'
                 else device_spec.OsType.OTHER),
        admin_user=asked.get('os_admin_user') or '',
        require_quiesce=bool(asked.get('os_require_quiesce')))


def _with_queues(
        request: Request, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
    """Give virtio cards a queue for each virtual CPU, if that is asked."""
    flavor, image_meta = request.instance.flavor, request.image_meta
    queues = interfaces.queues(flavor, image_meta)
    packed = hardware.get_packed_virtqueue_constraint(flavor, image_meta)
    usual = 'virtio' if CONF.libvirt.use_virtio_for_bridges else ''
    return dataclasses.replace(spec, nics=tuple(
        dataclasses.replace(nic, queues=queues, packed_ring=bool(packed))
        if (nic.model or usual) == 'virtio' else nic for nic in spec.nics))


def _metadata(instance: Any) -> guest_spec.GuestMetadata:
    created = datetime.datetime.now(datetime.UTC)
    noted = instance.system_metadata
    return guest_spec.GuestMetadata(
        display_name=instance.display_name or instance.name,
        flavor=_flavor(instance.flavor),
        created_at=created.strftime('%Y-%m-%dT%H:%M:%S'),
        owner=_owner(instance),
        # A server that was shelved is made of another image.
        image_id=noted.get('image_base_image_ref') or (
            instance.image_ref or ''),
        image=_image(objects.ImageMeta.from_instance(instance)),
        package_version=version.version_string_with_package())


def _flavor(flavor: Any) -> flavor_spec.Flavor:
    return flavor_spec.Flavor(
        id=str(flavor.flavorid), name=flavor.name, vcpus=flavor.vcpus,
        memory_mib=flavor.memory_mb, root_gib=flavor.root_gb,
        ephemeral_gib=flavor.ephemeral_gb, swap_mib=flavor.swap,
        extra_specs=dict(flavor.extra_specs or {}))


def _owner(instance: Any) -> guest_spec.Owner:
    # A name is None where a service of the cloud asked for the server.
    noted = instance.system_metadata
    return guest_spec.Owner(
        user_id=instance.user_id or '', project_id=instance.project_id or '',
        user_name=noted.get('owner_user_name', 'N/A') or '',
        project_name=noted.get('owner_project_name', 'N/A') or '')


def _image(image_meta: Any) -> guest_spec.ImageNote:
    noted = image_meta.properties
    return guest_spec.ImageNote(
        fields={ours: str(getattr(image_meta, name))
                for name, ours in _IMAGE_FIELDS.items()
                if image_meta.obj_attr_is_set(name)
                and getattr(image_meta, name) is not None},
        properties={name: str(noted.get(name)) for name in noted.fields
                    if noted.obj_attr_is_set(name)})


def _memory(instance: Any, image_meta: Any) -> memory_spec.MemorySpec:
    # A page that comes back from the disk would keep a CPU waiting.
    locked = virtual_cpus.is_realtime(instance, image_meta) or bool(
        hardware.get_locked_memory_constraint(instance.flavor, image_meta))
    return memory_spec.MemorySpec(
        size_mib=instance.flavor.memory_mb, locked=locked)


def _storage(request: Request) -> disk_spec.StorageSpec:
    info = request.block_device_info
    swap = nova_driver.block_device_info_get_swap(info)
    from_volume = volumes.has_root(info)
    # Absent in Nova 31 and older ones, as the names of image disks are.
    image = (info or {}).get('image') or ()
    is_iso = request.image_meta.obj_attr_is_set('disk_format') and (
        request.image_meta.disk_format == 'iso')
    return disk_spec.StorageSpec(
        image_id='' if from_volume else request.instance.image_ref or '',
        root_gib=0 if from_volume else request.instance.flavor.root_gb,
        root_bus=_bus(image[0]) if image else None,
        root_device=(disk_spec.DiskDevice.CDROM if is_iso
                     else disk_spec.DiskDevice.DISK),
        ephemerals=tuple(_ephemerals(
            nova_driver.block_device_info_get_ephemerals(info),
            CONF.default_ephemeral_format or _FILE_SYSTEMS.get(
                request.instance.os_type, ''))),
        swap=_swap(swap, request.instance.flavor),
        iotune=quota.disk(request.instance.flavor.extra_specs or {}))


def _swap(
        device: Mapping[str, Any], flavor: Any) -> disk_spec.LocalDisk | None:
    if device and device.get('swap_size', 0) > 0:
        return disk_spec.LocalDisk(
            size_mib=device['swap_size'], bus=_bus(device))
    return disk_spec.LocalDisk(
        size_mib=flavor.swap) if flavor.swap > 0 else None


def _bus(device: Mapping[str, Any]) -> disk_spec.DiskBus | None:
    asked = device.get('disk_bus')
    return disk_spec.DiskBus(asked) if asked else None


def _ephemerals(
        devices: Iterable[Mapping[str, Any]],
        filesystem: str) -> Iterable[disk_spec.LocalDisk]:
    for device in devices:
        yield disk_spec.LocalDisk(
            size_mib=device['size'] * _MIB_PER_GIB, bus=_bus(device),
            filesystem=device.get('guest_format') or filesystem)


def _consoles(flavor: Any, image_meta: Any) -> console_spec.ConsoleSpec:
    graphics = []
    if CONF.vnc.enabled:
        graphics.append(console_spec.GraphicsSpec(
            kind=console_spec.GraphicsKind.VNC,
            listen=str(CONF.vnc.server_listen)))
    if CONF.spice.enabled:
        graphics.append(console_spec.GraphicsSpec(
            kind=console_spec.GraphicsKind.SPICE,
            listen=str(CONF.spice.server_listen),
            spice=console_spec.SpiceSpec(
                secure=CONF.spice.require_secure,
                agent=CONF.spice.agent_enabled,
                image_compression=CONF.spice.image_compression or '',
                jpeg_compression=CONF.spice.jpeg_compression or '',
                zlib_compression=CONF.spice.zlib_compression or '',
                playback_compression=CONF.spice.playback_compression,
                streaming_mode=CONF.spice.streaming_mode or '')))
    serials = (console_spec.SerialSpec(),)
    if CONF.serial_console.enabled:
        number = hardware.get_number_of_serial_ports(flavor, image_meta)
        if number > _MAX_SERIAL_PORTS:
            # Before a port of the host is looked for, for each of them.
            raise nova_exception.SerialPortNumberLimitExceeded(
                allowed=_MAX_SERIAL_PORTS, virt_type=CONF.libvirt.virt_type)
        serials = number * (console_spec.SerialSpec(
            kind=console_spec.SerialKind.TCP,
            listen=str(CONF.serial_console.proxyclient_address)),)
    return console_spec.ConsoleSpec(
        serials=serials, graphics=tuple(graphics))


def _properties(
        image_meta: Any, extra_specs: Mapping[str, str]) -> dict[str, str]:
    # Where libosinfo is installed, Nova has it name what an image does not.
    found = {'hw_disk_bus': osinfo.HardwareProperties(image_meta).disk_model}
    for name in properties.CHANGES.keys() & image_meta.properties.fields:
        found.setdefault(name, image_meta.properties.get(name))
    asked = {name: str(value) for name, value in found.items()
             if value is not None}
    for spec_name, name in _FLAVOR_FIRST.items():
        if extra_specs.get(spec_name):
            asked[name] = extra_specs[spec_name]
    for spec_name, name in _IMAGE_FIRST.items():
        if spec_name in extra_specs:
            asked.setdefault(name, extra_specs[spec_name])
    if any(strutils.bool_from_string(extra_specs.get(name))
           for name in _HIDING):
        asked['img_hide_hypervisor_id'] = 'true'
    emulated = asked.pop('hw_emulation_architecture', '') or str(
        image_meta.properties.get('hw_emulation_architecture') or '')
    if emulated:
        asked['hw_architecture'] = emulated
    for name in _BY_DEVICES:
        asked.pop(name, None)
    return asked
