# SPDX-License-Identifier: Apache-2.0

"""The volumes of a server, from Nova's block devices."""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import datetime
import itertools
from typing import Any

from nova import block_device
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from nova.objects import fields
from nova.virt import driver as nova_driver
from nova.virt import hardware
from nova.virt import osinfo
from oslo_log import log as logging

import nova.conf
from nova_libvirt_driver import base
from nova_libvirt_driver import driver as core_driver
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import brick
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import connection as connection_module
from nova_libvirt_driver.volumes import secrecy
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel import domain as domain_model

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

_GIB = 1 << 30
_MAX_IDE = 4
_DELETION = datetime.timedelta(minutes=10)
"""How long a server takes to be deleted from Nova's database, after its
block devices."""

_BUS = disk_spec.DiskBus
_DEVICE = disk_spec.DiskDevice
_PCS = (fields.Architecture.I686, fields.Architecture.X86_64)
_PREFIXES = {_BUS.VIRTIO: 'vd', _BUS.IDE: 'hd', _BUS.FDC: 'fd'}
_BUSES = {'vd': 'virtio', 'hd': 'ide', 'sd': 'scsi', 'fd': 'fdc'}
_RESCUE_DEVICES = (_DEVICE.DISK, _DEVICE.CDROM, _DEVICE.FLOPPY)
_DEVICES = {'cdrom': _DEVICE.CDROM, 'floppy': _DEVICE.FLOPPY,
            'lun': _DEVICE.LUN}


class Volumes:
    """The attachment of a server's volumes.

    What the host finds out about a connection is in Nova's own object of it
    then, and in Nova's database.

    :param block_device_info: Nova's, with what each connection is like
    :param destroy_secrets: with what encrypts them
    :param tolerant: the server starts without data volumes that cannot be
        connected
    :param force: the host is disconnected whatever becomes of the data
    :param own: only from what this driver has connected it to, for Nova has
        the server on another host, and what it says may be about that
    """

    def __init__(
            self, core: base.ComputeDriver, context: Any, instance: Any,
            block_device_info: Mapping[str, Any] | None, *,
            destroy_secrets: bool = True, tolerant: bool = False,
            force: bool = True, own: bool = False) -> None:
        self.name = 'volumes'
        # Without connection where building the server has failed before.
        self._devices = [
            device for device in nova_driver.block_device_info_get_mapping(
                block_device_info) if device['connection_info']]
        self.wanted = [
            _volume(device, instance, tolerant=tolerant)
            for device in self._devices]
        self._inner: ports.VolumeAttachment = core.volume_attachment(
            instance, self.wanted, brick.Connector(context),
            keep_secrets=not destroy_secrets, force=force, own=own)
        self.is_fleeting = self._inner.is_fleeting

    @property
    def own(self) -> bool:
        """Whether only what this driver has connected is disconnected."""
        return self._inner.own

    @own.setter
    def own(self, own: bool) -> None:
        self._inner.own = own

    @property
    def missing(self) -> list[volume_spec.Volume]:
        """Those without which the guest was prepared."""
        return self._inner.missing

    def prepare(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Connect the host, and return the guest with its volumes."""
        try:
            return self._inner.prepare(spec)
        finally:
            # Also when a later one fails: what was found out of a connection
            # helps to end it.
            for device in self._devices:
                if hasattr(device, 'save'):
                    device.save()

    def connect(self) -> contextlib.AbstractContextManager[bool]:
        """Let the guest be started."""
        return self._inner.connect()

    def revert(self) -> None:
        """Disconnect what this object has connected."""
        self._inner.revert()

    def disconnect(self) -> None:
        """Disconnect all volumes."""
        self._inner.disconnect()

    def extend(self, size_bytes: int) -> int:
        """Let the host see that the one volume has grown."""
        return self._inner.extend(size_bytes)

    def report_missing(
            self, core: core_driver.LibvirtDriver, instance: Any,
            callback: Callable[[list[str]], object] | None) -> None:
        """Let Nova know of the volumes that the server was started without.

        Nova detaches them. The server runs, whatever becomes of that. What
        could not be connected again, and the server still has after a soft
        reboot, is not missing.
        """
        missing = [device for volume, device in zip(
            self.wanted, self._devices, strict=True)
            if any(volume is one for one in self.missing)]
        if not missing or callback is None:
            return
        try:
            has = {disk.serial for disk in domain_model.Domain.parse(
                core.get_domain_xml(instance)).devices.disks}
            missing = [device for device in missing
                       if device['connection_info'].get('serial') not in has]
            if missing:
                callback([device['mount_device'] for device in missing])
        except Exception as error:
            LOG.warning('Nova could not detach %s, without which the server '
                        'was started: %s', ', '.join(
                            device['mount_device'] for device in missing),
                        error, instance=instance)


class Volume(Volumes):
    """The attachment of one volume of an existing server.

    :param connection_info: Nova's, which it saves by itself
    """

    def __init__(
            self, core: base.ComputeDriver, context: Any, instance: Any,
            connection_info: dict[str, Any], mountpoint: str = '', *,
            disk_bus: str | None = None, device_type: str | None = None,
            force: bool = False, own: bool = False) -> None:
        super().__init__(
            core, context, instance, {'block_device_mapping': [{
                'connection_info': connection_info,
                'mount_device': mountpoint, 'disk_bus': disk_bus,
                'device_type': device_type}]}, force=force, own=own)
        self.name = f'volume {key(connection_info).id}'
        self.memo = {'connection_info': secrecy.without(
            connection_info)}


def interrupted(
        core: base.ComputeDriver, instance: instance_spec.Instance,
        memo: ports.Memo, *, is_gone: bool) -> ports.Attachment:
    """Return what disconnects a volume, with the rights of the service.

    :param memo: of a :class:`Volume`
    :param is_gone: so is the server, whose data are not wanted any more
    """
    return core.volume_attachment(
        instance, [volume_spec.Volume(
            info=dict(memo['connection_info']),
            place=volume_spec.Placement(target_dev='', bus=_BUS.VIRTIO))],
        brick.Connector(nova_context.get_admin_context()), force=is_gone)


def key(connection_info: Mapping[str, Any]) -> disk_spec.DiskKey:
    """Return what finds a volume in its guest."""
    found = connection_module.read(connection_info)
    return disk_spec.DiskKey(id=found.volume_id, serial=found.serial)


def key_in_guest(
        core: core_driver.LibvirtDriver, instance: Any,
        connection_info: Mapping[str, Any],
        mountpoint: str = '') -> disk_spec.DiskKey:
    """Return what finds a volume in its guest, also after a swap.

    Until the guest starts again, its disk has the name and the serial number
    of the volume that was swapped; it is known by its place and its bytes.

    :param mountpoint: empty when it is not known
    """
    wanted = key(connection_info)
    found = connection_module.read(connection_info)
    bytes_at = found.device_path or found.data.get('name')
    if any(disk.alias == wanted.alias or disk.serial == wanted.serial
           for disk in _disks(core, instance)):
        return wanted
    name = block_device.strip_dev(mountpoint)
    for disk in _disks(core, instance):
        if disk.target_dev == (name or disk.target_dev) and bytes_at and (
                bytes_at in (disk.source_dev, disk.source_file,
                             disk.source_name)):
            return disk_spec.DiskKey(
                serial=disk.serial or '', target_dev=disk.target_dev or '')
    return wanted


def disk(volume: volume_spec.Volume) -> disk_spec.DiskSpec:
    """Return the disk of a volume before the host is connected."""
    found, place = key(volume.info), volume.place
    return disk_spec.DiskSpec(
        id=found.id, serial=found.serial, target_dev=place.target_dev,
        bus=place.bus, device=place.device, scsi_model=place.scsi_model,
        format='raw', source=disk_spec.DiskSource())


def has_root(block_device_info: Mapping[str, Any] | None) -> bool:
    """Say whether a server boots from a volume."""
    return any(
        device.get('boot_index') == 0
        for device in nova_driver.block_device_info_get_mapping(
            block_device_info))


def root_name(image_meta: Any, device: Any) -> str:
    """Return the name of a server's root disk, as in ``/dev/vda``.

    Nova names the others after it.

    :param device: Nova's, of the root disk; None for a disk of an image
    """
    asked: Any = device or {}
    kind, bus = _root_place(
        asked.get('device_type'), asked.get('disk_bus'), image_meta)
    return f'/dev/{_prefix(bus, kind, image_meta)[0]}a'


def _root_place(
        device_type: str | None, disk_bus: str | None,
        image_meta: Any) -> tuple[disk_spec.DiskDevice, str | None]:
    """Return as what a new server is to see its root disk, and on which bus.

    That of an ISO image is a CD, also as a volume, and whatever Nova has
    written down for any root disk (LP 2054446).

    :returns: no bus where none is asked for that it can have
    """
    if image_meta.obj_attr_is_set('disk_format') and (
            image_meta.disk_format == 'iso'):
        return _DEVICE.CDROM, None
    return _DEVICES.get(device_type or '', _DEVICE.DISK), disk_bus


def free_name(
        core: core_driver.LibvirtDriver, instance: Any,
        devices: Iterable[Any], device: Any) -> str:
    """Return a name for one more disk of a server, as in ``/dev/vdb``.

    A name that was asked for does not count: guests do not see it.

    :param devices: Nova's, also those that are about to be attached
    :param device: the one that is to have a name
    :raises TooManyDiskDevices: there is none
    """
    taken = {block_device.strip_dev(one.device_name) for one in devices
             if one.device_name} | {
                 disk.target_dev for disk in _disks(core, instance)}
    prefix, bus = _prefix(
        device.disk_bus, _DEVICES.get(device.device_type, _DEVICE.DISK),
        instance.image_meta)
    return f'/dev/{_next(prefix, bus, taken)}'


def name_devices(
        instance: Any, root_device_name: str,
        devices: Iterable[Any]) -> None:
    """Write down name, bus and kind of each disk of a server.

    So these stay, whichever driver starts the server. Names that were asked
    for do not count, but for the root disk's.

    :param devices: Nova's, in the order in which they are named
    :raises TooManyDiskDevices: there are more than there may be
    """
    taken = {block_device.strip_dev(root_device_name)}
    for device in devices:
        if device.source_type == 'image' and (
                device.destination_type == 'local'):
            # The root disk; a disk of an image may be a CD.
            continue
        kind, asked = (
            _DEVICES.get(device.device_type, _DEVICE.DISK), device.disk_bus)
        if device.boot_index == 0:
            kind, asked = _root_place(
                device.device_type, asked, instance.image_meta)
        prefix, bus = _prefix(asked, kind, instance.image_meta)
        if device.boot_index == 0:
            device.device_name = root_device_name
        else:
            name = _next(prefix, bus, taken)
            taken.add(name)
            device.device_name = f'/dev/{name}'
        device.disk_bus, device.device_type = bus.value, kind.value
        device.save()


def _next(
        prefix: str, bus: disk_spec.DiskBus,
        taken: Collection[str | None]) -> str:
    most = (_MAX_IDE if bus is _BUS.IDE
            else CONF.compute.max_disk_devices_to_attach)
    for number in range(most) if most >= 0 else itertools.count():
        name: str = block_device.generate_device_name(prefix, number)
        if name not in taken:
            return name
    raise nova_exception.TooManyDiskDevices(maximum=most)


def rescue_device(image_meta: Any) -> disk_spec.RescueDevice | None:
    """Return as what a rescue image wants to be seen beside all disks.

    :param image_meta: Nova's, of that image
    :raises UnsupportedRescueDevice: no disk of an image can be that
    :raises UnsupportedRescueBus: no such device can be on that bus
    """
    if not hardware.check_hw_rescue_props(image_meta):
        return None
    wanted = str(image_meta.properties.get('hw_rescue_device') or 'disk')
    if wanted not in _RESCUE_DEVICES:
        raise nova_exception.UnsupportedRescueDevice(device=wanted)
    bus, usual = image_meta.properties.get('hw_rescue_bus'), None
    device = disk_spec.DiskDevice(wanted)
    buses = {_BUS.FDC} if device is _DEVICE.FLOPPY else set(_BUS) - {_BUS.FDC}
    if bus and bus not in buses:
        raise nova_exception.UnsupportedRescueBus(
            bus=bus, virt=CONF.libvirt.virt_type)
    if device is _DEVICE.DISK:
        usual = usual_bus(image_meta)
    elif device is _DEVICE.CDROM:
        usual = image_meta.properties.get('hw_cdrom_bus')
    found = bus or usual
    return disk_spec.RescueDevice(
        device=device, bus=_BUS(str(found)) if found else None)


def recorded(context: Any, instance: Any) -> Mapping[str, Any]:
    """Return the block devices of a server as Nova's database has them.

    Of a deleted server those that it had at its end. What was detached before
    may be another server's by now.
    """
    devices = [
        device for device in objects.BlockDeviceMappingList
        .get_by_instance_uuid(context, instance.uuid)
        if not device.deleted or instance.deleted and (
            device.deleted_at >= instance.deleted_at - _DELETION)]
    found: Mapping[str, Any] = nova_driver.get_block_device_info(
        instance, devices)
    return found


def _volume(
        device: Any, instance: Any, *, tolerant: bool) -> volume_spec.Volume:
    boot_index = device.get('boot_index')
    # Each look at it builds one.
    image_meta = instance.image_meta
    kind = _DEVICES.get(device.get('device_type'), _DEVICE.DISK)
    name = block_device.strip_dev(device.get('mount_device') or '')
    # As long as nothing else is said, the name of a disk tells its bus.
    named = None if kind is _DEVICE.CDROM and name.startswith('vd') else (
        _BUSES.get(name[:2]))
    bus = _bus(device.get('disk_bus') or named, kind, image_meta)
    return volume_spec.Volume(
        info=device['connection_info'],
        size_bytes=(device.get('volume_size') or 0) * _GIB,
        required=boot_index == 0 or not tolerant,
        place=volume_spec.Placement(
            target_dev=name, bus=bus, device=kind,
            boot_order=(boot_index + 1 if boot_index is not None
                        and boot_index >= 0 else None),
            scsi_model=(str(image_meta.properties.get(
                'hw_scsi_model') or '') if bus is _BUS.SCSI else '')))


def _disks(
        core: core_driver.LibvirtDriver,
        instance: Any) -> Iterator[disk_model.Disk]:
    """Yield the disks that a guest has, and those of its next start."""
    with contextlib.suppress(exception.InstanceNotFound):
        for inactive in (False, True):
            yield from domain_model.Domain.parse(core.get_domain_xml(
                instance, inactive=inactive)).devices.disks


def _prefix(
        asked: str | None, kind: disk_spec.DiskDevice,
        image_meta: Any) -> tuple[str, disk_spec.DiskBus]:
    """Return how the name of a disk begins, and its bus."""
    bus = _bus(asked, kind, image_meta)
    return CONF.libvirt.disk_prefix or _PREFIXES.get(bus, 'sd'), bus


def usual_bus(image_meta: Any) -> str:
    """Return the bus of disks that have none of their own."""
    bus = osinfo.HardwareProperties(image_meta).disk_model
    return str(bus) if bus in set(_BUS) else _BUS.VIRTIO.value


def _cdrom_bus(asked_of: Callable[[str], Any]) -> disk_spec.DiskBus:
    """Return the bus of a CD drive that the machine of a guest has."""
    arch = str(asked_of('hw_emulation_architecture')
               or asked_of('hw_architecture')
               or fields.Architecture.from_host())
    if arch not in _PCS:
        return _BUS.SCSI
    machine = str(asked_of('hw_machine_type') or '') or ','.join(
        CONF.libvirt.hw_machine_type or ())
    return _BUS.SATA if 'q35' in machine else _BUS.IDE


def _bus(
        asked: str | None, kind: disk_spec.DiskDevice,
        image_meta: Any) -> disk_spec.DiskBus:
    """Return the bus of a volume: its own, or that of the image."""
    asked_of = image_meta.properties.get
    choices: Iterable[Any]
    if kind is _DEVICE.FLOPPY:
        choices = (_BUS.FDC,)
    elif kind is _DEVICE.CDROM:
        choices = (asked, asked_of('hw_cdrom_bus'), _cdrom_bus(asked_of))
    else:
        choices = (asked, usual_bus(image_meta))
    # Of other hypervisors there are buses that this one has not.
    return _BUS(next(str(bus) for bus in choices if bus in set(_BUS)))
