# SPDX-License-Identifier: Apache-2.0

"""The volumes of a server, from Nova's block devices."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import contextlib
from typing import Any

from nova import block_device
from nova import exception
from nova import objects
from nova.virt import driver as nova_driver
from nova.virt import hardware
from oslo_log import log as logging

import nova.conf
from nova_libvirt_driver import base
from nova_libvirt_driver.nova_plugin import brick
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import volume as volume_spec

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

_GIB = 1 << 30
_BUS = disk_spec.DiskBus
_DEVICE = disk_spec.DiskDevice
_PREFIXES = {_BUS.VIRTIO: 'vd', _BUS.IDE: 'hd', _BUS.FDC: 'fd'}
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
    """

    name = 'volumes'

    def __init__(
            self, core: base.ComputeDriver, context: Any, instance: Any,
            block_device_info: Mapping[str, Any] | None, *,
            destroy_secrets: bool = True, tolerant: bool = False) -> None:
        # Without connection where building the server has failed before.
        self._devices = [
            device for device in nova_driver.block_device_info_get_mapping(
                block_device_info) if device['connection_info']]
        self.wanted = [
            _volume(device, instance, tolerant=tolerant)
            for device in self._devices]
        self._inner: ports.VolumeAttachment = core.volume_attachment(
            instance, self.wanted, brick.Connector(context),
            keep_secrets=not destroy_secrets)

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

    def report_missing(
            self, callback: Callable[[list[str]], object] | None,
            instance: Any) -> None:
        """Let Nova know of the volumes that the server was started without.

        Nova detaches them. The server runs, whatever becomes of that.
        """
        missing = [device['mount_device'] for volume, device in zip(
            self.wanted, self._devices, strict=True)
            if any(volume is one for one in self._inner.missing)]
        if not missing or callback is None:
            return
        try:
            callback(missing)
        except Exception as error:
            LOG.warning('Nova could not detach %s, without which the server '
                        'was started: %s', ', '.join(missing), error,
                        instance=instance)


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
    is_iso = device is None and image_meta.obj_attr_is_set(
        'disk_format') and image_meta.disk_format == 'iso'
    kind = _DEVICE.CDROM if is_iso else _DEVICES.get(
        asked.get('device_type'), _DEVICE.DISK)
    bus = _bus(asked.get('disk_bus'), kind, image_meta)
    prefix = _PREFIXES.get(bus, 'sd')
    if kind is _DEVICE.DISK:
        prefix = CONF.libvirt.disk_prefix or prefix
    return f'/dev/{prefix}a'


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
        raise exception.UnsupportedRescueDevice(device=wanted)
    bus, usual = image_meta.properties.get('hw_rescue_bus'), None
    device = disk_spec.DiskDevice(wanted)
    buses = {_BUS.FDC} if device is _DEVICE.FLOPPY else set(_BUS) - {_BUS.FDC}
    if bus and bus not in buses:
        raise exception.UnsupportedRescueBus(
            bus=bus, virt=CONF.libvirt.virt_type)
    if device is _DEVICE.DISK:
        usual = image_meta.properties.get('hw_disk_bus') or _BUS.VIRTIO
    elif device is _DEVICE.CDROM:
        usual = image_meta.properties.get('hw_cdrom_bus')
    found = bus or usual
    return disk_spec.RescueDevice(
        device=device, bus=_BUS(str(found)) if found else None)


def recorded(context: Any, instance: Any) -> Mapping[str, Any]:
    """Return the block devices of a server as Nova's database has them."""
    devices = objects.BlockDeviceMappingList.get_by_instance_uuid(
        context, instance.uuid)
    found: Mapping[str, Any] = nova_driver.get_block_device_info(
        instance, devices)
    return found


def _volume(
        device: Any, instance: Any, *, tolerant: bool) -> volume_spec.Volume:
    boot_index = device.get('boot_index')
    is_root = boot_index == 0
    kind = _DEVICES.get(device.get('device_type'), _DEVICE.DISK)
    bus = _bus(device.get('disk_bus'), kind, instance.image_meta)
    return volume_spec.Volume(
        info=device['connection_info'],
        size_bytes=(device.get('volume_size') or 0) * _GIB,
        required=is_root or not tolerant,
        place=volume_spec.Placement(
            target_dev=block_device.strip_dev(
                device.get('mount_device') or ''),
            bus=bus, device=kind,
            boot_order=(boot_index + 1 if boot_index is not None
                        and boot_index >= 0 else None),
            scsi_model=(str(instance.image_meta.properties.get(
                'hw_scsi_model') or '') if bus is _BUS.SCSI else '')))


def _bus(
        asked: str | None, kind: disk_spec.DiskDevice,
        image_meta: Any) -> disk_spec.DiskBus:
    """Return the bus of a volume: its own, or that of the image."""
    asked_of = image_meta.properties.get
    choices: Iterable[Any]
    if kind is _DEVICE.FLOPPY:
        choices = (_BUS.FDC,)
    elif kind is _DEVICE.CDROM:
        machine = str(asked_of('hw_machine_type') or '') or ','.join(
            CONF.libvirt.hw_machine_type or ())
        choices = (asked, asked_of('hw_cdrom_bus'),
                   _BUS.SATA if 'q35' in machine else _BUS.IDE)
    else:
        choices = (asked, asked_of('hw_disk_bus'), _BUS.VIRTIO)
    # Of other hypervisors there are buses that this one has not.
    return _BUS(next(str(bus) for bus in choices if bus in set(_BUS)))
