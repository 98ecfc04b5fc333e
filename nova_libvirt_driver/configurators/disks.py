# SPDX-License-Identifier: Apache-2.0

"""The facet of disks."""

import re

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import controllers
from nova_libvirt_driver.configurators import disk_source
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.xmlmodel.devices import disk as disk_module
from nova_libvirt_driver.xmlmodel import domain as domain_module

Bus = disk_spec.DiskBus
Device = disk_spec.DiskDevice

_TARGET = re.compile(r'(fd|hd|sd|vd|xvd|ubd)[a-z]{1,3}')

_LIMITS = (
    ('total_bytes_s', 'total_bytes_sec'),
    ('read_bytes_s', 'read_bytes_sec'),
    ('write_bytes_s', 'write_bytes_sec'),
    ('total_iops', 'total_iops_sec'),
    ('read_iops', 'read_iops_sec'),
    ('write_iops', 'write_iops_sec'),
    ('total_bytes_s_max', 'total_bytes_sec_max'),
    ('read_bytes_s_max', 'read_bytes_sec_max'),
    ('write_bytes_s_max', 'write_bytes_sec_max'),
    ('total_iops_max', 'total_iops_sec_max'),
    ('read_iops_max', 'read_iops_sec_max'),
    ('write_iops_max', 'write_iops_sec_max'),
    ('size_iops', 'size_iops_sec'),
)
"""Limits of ours, and their names in the XML."""


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the disks, and the SCSI controllers that they need.

    :raises InvalidRequest: a disk contradicts itself or another one
    :raises UnsupportedOperation: the machine lacks a disk's bus
    """
    disks = inputs.disks
    checks.distinct('the disk', (disk.target_dev for disk in disks))
    checks.distinct('the boot order', boot_orders(inputs))
    for disk in disks:
        check(disk, inputs)
    scsi_model = inputs.spec.storage.scsi_model
    controllers.add_scsi(domain, disks, scsi_model)
    addresses = controllers.scsi_addresses(disks, scsi_model)
    for disk in disks:
        element = domain.devices.disks.add()
        fill(element, disk, inputs.policy)
        if disk.target_dev in addresses:
            controllers.put_scsi_address(element, addresses[disk.target_dev])


def boot_orders(inputs: inputs_module.Inputs) -> list[int]:
    """Return the places in the boot order, of disks and interfaces."""
    orders = [disk.boot_order for disk in inputs.disks]
    orders += [nic.boot_order for nic in inputs.spec.nics]
    return [order for order in orders if order is not None]


def fill(
        element: disk_module.Disk, disk: disk_spec.DiskSpec,
        policy: policy_spec.GuestPolicy) -> None:
    """Write a disk that was checked into its element."""
    element.device = disk.device.value
    _driver(element, disk, policy)
    disk_source.fill(element, disk)
    element.target_dev = disk.target_dev
    element.target_bus = disk.bus.value
    _limit(element, disk.iotune)
    if disk.readonly or disk.device is Device.CDROM:
        element.readonly = True
    if disk.shareable:
        element.shareable = True
    _describe(element, disk)
    element.boot_order = disk.boot_order
    element.alias = disk.key.alias or None


def _describe(
        element: disk_module.Disk, disk: disk_spec.DiskSpec) -> None:
    """Set what the guest sees of a disk; a LUN answers by itself.

    Libvirt refuses other numbers for one, and QEMU other blocks (LP 2127196).
    """
    if disk.device is Device.LUN:
        return
    element.serial = disk.serial or None
    element.wwn = disk.wwn or None
    element.logical_block_size = disk.logical_block_bytes
    element.physical_block_size = disk.physical_block_bytes


def _driver(
        element: disk_module.Disk, disk: disk_spec.DiskSpec,
        policy: policy_spec.GuestPolicy) -> None:
    element.driver_name = 'qemu'
    # Never left to QEMU, which would look at what the guest wrote.
    element.driver_type = disk.format
    element.driver_cache = _cache(disk, policy) or None
    element.driver_io = disk.io or None
    element.driver_discard = disk.discard or policy.discard or None
    if disk.bus is Bus.VIRTIO:
        element.driver_queues = disk.queues


def _cache(
        disk: disk_spec.DiskSpec, policy: policy_spec.GuestPolicy) -> str:
    return disk.cache or policy.disk_cachemodes.get(
        disk.source.kind.value, '')


def _limit(
        element: disk_module.Disk, iotune: disk_spec.IoTune | None) -> None:
    if iotune is None:
        return
    for name, tag in _LIMITS:
        setattr(element.iotune, tag, getattr(iotune, name))


def check(disk: disk_spec.DiskSpec, inputs: inputs_module.Inputs) -> None:
    """Refuse a disk that cannot be written.

    :raises InvalidRequest: it contradicts itself
    :raises UnsupportedOperation: the machine lacks its bus
    """
    what = f'the disk {disk.target_dev}'
    if not _TARGET.fullmatch(disk.target_dev):
        raise exception.InvalidRequest(
            reason=f'{disk.target_dev!r} is no name of a disk, as vda is')
    if not re.fullmatch('[a-z0-9]+', disk.format):
        raise exception.InvalidRequest(
            reason=f'{what} needs a format, and has {disk.format!r}')
    for wrong, reason in _contradictions(disk):
        if wrong:
            raise exception.InvalidRequest(reason=f'{what} {reason}')
    if disk.io == 'native' and _cache(
            disk, inputs.policy) not in ('none', 'directsync'):
        raise exception.InvalidRequest(
            reason=f'{what} needs cache none or directsync for io native')
    checks.supported('disk bus', disk.bus,
                     inputs.host.capabilities.disk_buses)
    disk_source.check(disk)


def _contradictions(
        disk: disk_spec.DiskSpec) -> tuple[tuple[bool, str], ...]:
    device, bus, iotune = disk.device, disk.bus, disk.iotune
    return (
        ((device is Device.FLOPPY) != (bus is Bus.FDC),
         'is a floppy on another bus, or the bus fdc for no floppy'),
        (device is Device.CDROM and bus is Bus.VIRTIO,
         'is a CD drive, which the bus virtio has none of'),
        (device is Device.LUN and (
            bus is not Bus.SCSI
            or disk.source.kind is disk_spec.SourceKind.FILE),
         'is a LUN, which needs the bus scsi and a block device'),
        (disk.shareable and disk.format != 'raw',
         'can be shared in format raw only'),
        (bool(disk.queues) and bus not in (Bus.VIRTIO, Bus.SCSI),
         f'cannot have queues on the bus {bus}'),
        (bus is not Bus.SCSI and (
            disk.unit is not None or bool(disk.scsi_model)),
         'has no SCSI controller'),
        (iotune is not None and (
            _both(iotune, 'bytes_s') or _both(iotune, 'iops')),
         'has a limit in total and one for reading or writing'),
    )


def _both(iotune: disk_spec.IoTune, unit: str) -> bool:
    def has(side: str) -> bool:
        return bool(getattr(iotune, f'{side}_{unit}'))
    return has('total') and (has('read') or has('write'))
