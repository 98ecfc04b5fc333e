# SPDX-License-Identifier: Apache-2.0

"""Devices of a guest that this driver did not give it, and keeps.

Another driver may have given a guest devices of the host, or a person disks
and interfaces with ``virsh``. When its domain is defined again they are taken
over as they are, or the verb is refused before anything is changed; none is
left out, but for the disks while the guest is rescued.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import re
from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import paths
from nova_libvirt_driver.guest import devices as devices_module
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.xmlmodel.devices import device as device_model
from nova_libvirt_driver.xmlmodel.devices import devices as devices_model
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel.devices import interface
from nova_libvirt_driver.xmlmodel import domain as domain_module

_FOREIGN = frozenset((
    'crypto', 'filesystem', 'hub', 'lease', 'memory', 'parallel',
    'pstore', 'shmem', 'smartcard'))
"""Kinds that no configurator makes, beside devices of the host."""

_WITH_NUMA = frozenset(('memory',))
"""Kinds that need more than the device itself: places for memory modules,
and a NUMA node of the guest to be in."""

_OF_HOST = ('hostdev', 'vdpa')
"""Types of interfaces that give the guest a device of the host."""

_PORT_DEVICE = re.compile(r'\w{3}[0-9a-f]{8}-[0-9a-f]{2}')
"""How Nova names the host's end of a port: 14 characters of it."""

_NAMED = 'ua-'
"""What libvirt wants before an alias that it does not choose itself."""


def keep(
        old: domain_module.Domain, new: domain_module.Domain,
        spec: guest_spec.GuestSpec, *, folder: str,
        with_disks: bool = True) -> None:
    """Take over what the old domain has and nothing in the new one is for.

    :param old: as it is defined
    :param new: as it was built; is changed
    :param spec: what it was built from
    :param folder: of the instance; disks in it are the driver's
    :param with_disks: False leaves disks out, for a domain whose disks have
        other names for the time being
    :raises WrongState: a device cannot be taken over; its name is said
    """
    disks = _disks(old, new, spec, folder) if with_disks else ()
    found = [*_devices(old), *disks, *_interfaces(old, new.devices.interfaces)]
    for one in found:
        reason = _obstacle(one, new)
        if reason:
            raise exception.WrongState(
                tried='define its domain again', instance=spec.uuid,
                state=f'connected to {_named(one)}, which would be lost: '
                f'{reason}',
                hint='detach the device, or give the guest back to the '
                'driver that it is from')
        copy = one.copy()
        if isinstance(copy, disk_model.Disk):
            _make_way(copy, new)
        new.devices.append(copy)
    if found:
        _keep_controllers(old, new)
        _keep_shared_memory(old, new)


def findings(
        xml: str, spec: guest_spec.GuestSpec | None, *,
        folder: str) -> list[device_spec.Unmanaged]:
    """Return the devices that a guest has beside those of this driver.

    A port that is a device of the host is refused for now, and not kept.

    :param xml: of the domain, as it is defined
    :param spec: what the guest was made from, None when it is not known
    :param folder: of the instance
    """
    old = domain_module.Domain.parse(xml)
    disks = _disks(old, domain_module.Domain(), spec, folder)
    nics = _interfaces(old, spec.nics if spec else ())
    of_host = [nic for nic in old.devices.interfaces if _is_of_host(nic)]
    kept = [*((one, one.tag not in _WITH_NUMA) for one in _devices(old)),
            *((disk, True) for disk in disks),
            *((nic, False) for nic in of_host),
            *((nic, True) for nic in nics if not _is_of_host(nic))]
    return [device_spec.Unmanaged(_named(one), is_kept)
            for one, is_kept in kept]


def _devices(
        old: domain_module.Domain) -> tuple[device_model.Bootable, ...]:
    return (*old.devices.hostdevs, *old.devices.unmodelled(_FOREIGN))


def _disks(
        old: domain_module.Domain, new: domain_module.Domain,
        spec: guest_spec.GuestSpec | None,
        folder: str) -> Iterator[disk_model.Disk]:
    known = {_source(disk) for disk in new.devices.disks}
    names = {disk.target_dev for disk in new.devices.disks}
    for disk in old.devices.disks:
        path = devices_module.source_of(disk)
        # An empty drive is the one that has its name now.
        is_own = (_source(disk) in known if any(_source(disk))
                  else disk.target_dev in names)
        if not (is_own or paths.is_own(path, folder)
                or is_volume(disk, spec)):
            yield disk


def is_volume(
        disk: disk_model.Disk, spec: guest_spec.GuestSpec | None) -> bool:
    """Say whether a disk is a volume, and not one that a person has added.

    :param spec: knows volumes that the volume service does not
    """
    key = disk_spec.DiskKey(
        id=_id_in(disk.alias), serial=disk.serial or '',
        target_dev=disk.target_dev or '')
    # Without its volume it is not wanted any more, and with it it may be
    # another device by now.
    if instance_spec.is_uuid(key.id) or instance_spec.is_uuid(key.serial):
        return True
    found = spec.device(key) if spec else None
    if not isinstance(found, disk_spec.DiskSpec):
        return False
    # By its name alone it may be anyone's, unless the volume has no more.
    return bool(key.id or key.serial) or not (found.id or found.serial)


def _interfaces(
        old: domain_module.Domain,
        known: Iterable[interface.Interface | nic_spec.NicSpec],
) -> Iterator[interface.Interface]:
    addresses = {(nic.mac or '').lower() for nic in known}
    for nic in old.devices.interfaces:
        if not (_is_port(nic) or (nic.mac or '').lower() in addresses):
            yield nic


def _is_port(nic: interface.Interface) -> bool:
    """Say whether it is a port's; without its port it is not wanted."""
    return bool(
        instance_spec.is_uuid(_id_in(nic.alias))
        or nic.virtualport_interface_id
        or _PORT_DEVICE.fullmatch(nic.target_dev or ''))


def _is_of_host(nic: interface.Interface) -> bool:
    return nic.type in _OF_HOST or (
        nic.type == 'direct' and nic.source_mode == 'passthrough')


def _id_in(alias: str | None) -> str:
    """Return the identifier in an alias, empty for one of libvirt's."""
    text = alias or ''
    return text.removeprefix(_NAMED) if text.startswith(_NAMED) else ''


def _obstacle(
        one: device_model.Bootable, new: domain_module.Domain) -> str:
    """Return why a device cannot be taken over, empty if it can."""
    if one.tag in _WITH_NUMA:
        return 'modules of memory cannot be taken over yet'
    if one.boot_order is not None:
        if new.os.boots:
            return 'it is in an order of booting that the guest does not have'
        if one.boot_order in new.devices.boot_orders():
            return (f'place {one.boot_order} in the order of booting is '
                    'wanted for another device')
    if isinstance(one, disk_model.Disk) and one.target_dev in {
            disk.target_dev for disk in new.devices.disks}:
        return f'the name {one.target_dev} is wanted for a disk of the guest'
    return ''


def _make_way(disk: disk_model.Disk, new: domain_module.Domain) -> None:
    """Move a disk whose unit on its controller is another disk's by now."""
    taken = {_place(other) for other in new.devices.disks}
    while disk.address.type == 'drive' and _place(disk) in taken:
        disk.address.unit = (disk.address.unit or 0) + 1


def _place(disk: disk_model.Disk) -> tuple[Any, ...]:
    address = disk.address
    return (disk.target_bus, address.type, address.controller or 0,
            address.bus or '0', address.target or 0, address.unit or 0)


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


def _source(disk: disk_model.Disk) -> tuple[Any, ...]:
    """Return what a disk is kept in, nothing but None for an empty drive."""
    return (devices_module.source_of(disk) or None, disk.source_protocol,
            disk.source_pool, disk.source_volume, disk.source_dir,
            *(name for host in disk.source_hosts
              for name in (host.name, host.port, host.socket)))


def _named(one: device_model.Bootable) -> str:
    """Return a device's kind and what tells it from others."""
    words: list[str | None] = []
    match one:
        case devices_model.Hostdev():
            words = [one.type, one.model, _address(one.source_address)]
        case interface.Interface():
            words = [one.type, one.mac]
        case disk_model.Disk():
            words = [one.type, one.target_dev, devices_module.source_of(one)
                     or one.source_volume or one.source_dir]
        case device_model.Unmodelled():
            words = [one.type, one.model, one.source_path, one.source_dir]
    return ' '.join(word for word in (one.tag, *words) if word)


def _address(address: device_model.Address) -> str:
    if address.uuid:
        return address.uuid
    parts = [(part or '').removeprefix('0x') for part in (
        address.domain, address.bus, address.slot, address.function)]
    return '{}:{}:{}.{}'.format(*parts) if all(parts) else ''
