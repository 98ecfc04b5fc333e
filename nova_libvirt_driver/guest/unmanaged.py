# SPDX-License-Identifier: Apache-2.0

"""Devices of a guest that this driver did not give it, and keeps.

Another driver may have given a guest devices of the host, or a person disks
with ``virsh``. When its domain is made anew they are taken over as they are,
or the verb is refused before anything is changed; none is left out.
"""

from collections.abc import Iterator

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import devices as devices_module
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.xmlmodel.devices import device as device_model
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel.devices import hostdev
from nova_libvirt_driver.xmlmodel.devices import interface
from nova_libvirt_driver.xmlmodel import domain as domain_module

_FOREIGN = frozenset((
    'crypto', 'filesystem', 'hub', 'lease', 'memory', 'parallel',
    'pstore', 'shmem', 'smartcard'))
"""Kinds that no configurator makes, beside devices of the host."""

_WITH_NUMA = frozenset(('memory',))
"""Kinds that need more than the device itself: places for memory modules,
and a NUMA node of the guest to be in."""

_OF_HOST = ('hostdev', 'direct', 'vdpa')
"""Types of interfaces that are a port's, though their target has no name."""


def keep(
        old: domain_module.Domain, new: domain_module.Domain,
        instance: instance_spec.Instance, *, folder: str) -> None:
    """Take over what the old domain has and nothing in the new one is for.

    :param old: as it is defined
    :param new: as it was built; is changed
    :param folder: of the instance; disks in it are the driver's
    :raises WrongState: a device cannot be taken over; its name is said
    """
    # A volume's has a serial number. Without its volume it is not wanted any
    # more, and with it it may be another device by now.
    disks = [disk for disk in _disks(old, new, folder) if not disk.serial]
    found = [*_devices(old), *disks, *_interfaces(old, new)]
    for one in found:
        reason = _obstacle(one, new)
        if reason:
            raise exception.WrongState(
                tried='make its domain anew', instance=instance.uuid,
                state=f'connected to {_named(one)}, which would be lost: '
                f'{reason}',
                hint='detach the device, or give the guest back to the '
                'driver that it is from')
        new.devices.append(one.copy())
    if found:
        _keep_controllers(old, new)
        _keep_shared_memory(old, new)


def findings(xml: str, *, folder: str) -> list[device_spec.Unmanaged]:
    """Return the devices that a guest has beside those of this driver.

    Whatever Nova has given it and this driver refuses for now is not kept: a
    volume, or a port that is a device of the host.

    :param xml: of the domain, as it is defined
    :param folder: of the instance
    """
    old = domain_module.Domain.parse(xml)
    disks = list(_disks(old, domain_module.Domain(), folder))
    kept = [*((one, one.tag not in _WITH_NUMA) for one in _devices(old)),
            *((disk, not disk.serial) for disk in disks),
            *((nic, False) for nic in old.devices.interfaces
              if nic.type in _OF_HOST)]
    return [device_spec.Unmanaged(_named(one), is_kept)
            for one, is_kept in kept]


def _devices(
        old: domain_module.Domain) -> tuple[device_model.Bootable, ...]:
    return (*old.devices.hostdevs, *old.devices.unmodelled(_FOREIGN))


def _disks(
        old: domain_module.Domain, new: domain_module.Domain,
        folder: str) -> Iterator[disk_model.Disk]:
    known = {_source(disk) for disk in new.devices.disks}
    for disk in old.devices.disks:
        source = _source(disk)
        if source not in known and not source.startswith(f'{folder}/'):
            yield disk


def _interfaces(
        old: domain_module.Domain,
        new: domain_module.Domain) -> Iterator[interface.Interface]:
    known = {nic.mac for nic in new.devices.interfaces}
    for nic in old.devices.interfaces:
        # A port's has a name at the host's end. Without its port it is not
        # wanted any more.
        if not (nic.mac in known or nic.target_dev
                or nic.type in _OF_HOST):
            yield nic


def _obstacle(
        one: device_model.Bootable, new: domain_module.Domain) -> str:
    """Return why a device cannot be taken over, empty if it can."""
    if one.tag in _WITH_NUMA:
        return 'modules of memory cannot be taken over yet'
    if one.boot_order is not None and new.os.boots:
        return 'it is in an order of booting that the guest does not have'
    if isinstance(one, disk_model.Disk) and one.target_dev in {
            disk.target_dev for disk in new.devices.disks}:
        return f'the name {one.target_dev} is wanted for a disk of the guest'
    return ''


def _keep_controllers(
        old: domain_module.Domain, new: domain_module.Domain) -> None:
    """Take over those of SCSI: libvirt would add one of another model."""
    there = {(one.type, one.index or 0) for one in new.devices.controllers}
    for one in old.devices.controllers:
        if one.type == 'scsi' and (one.type, one.index or 0) not in there:
            new.devices.append(one.copy())


def _keep_shared_memory(
        old: domain_module.Domain, new: domain_module.Domain) -> None:
    """Let memory be shared with other processes, as virtiofs wants it."""
    was, backing = old.memory_backing, new.memory_backing
    if was.access_mode == 'shared' and backing.access_mode is None:
        backing.access_mode = was.access_mode
        backing.source_type = backing.source_type or was.source_type


def _source(disk: disk_model.Disk) -> str:
    """Return what a disk is kept in, empty for an empty drive."""
    return (devices_module.source_of(disk) or disk.source_volume
            or disk.source_dir or '')


def _named(one: device_model.Bootable) -> str:
    """Return a device's kind and what tells it from others."""
    words: list[str | None] = []
    match one:
        case hostdev.Hostdev():
            words = [one.type, one.model, _address(one.source_address)]
        case interface.Interface():
            words = [one.type, one.mac]
        case disk_model.Disk():
            words = [one.type, one.target_dev, _source(one)]
        case device_model.Unmodelled():
            words = [one.type, one.model, one.source_path, one.source_dir]
    return ' '.join(word for word in (one.tag, *words) if word)


def _address(address: device_model.Address) -> str:
    if address.uuid:
        return address.uuid
    parts = [(part or '').removeprefix('0x') for part in (
        address.domain, address.bus, address.slot, address.function)]
    return '{}:{}:{}.{}'.format(*parts) if all(parts) else ''
