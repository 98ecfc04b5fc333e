# SPDX-License-Identifier: Apache-2.0

"""Where the volumes of a guest are, for a start from an old definition.

The host names devices when it boots, or finds them again. A name in the
definition of a guest that is stopped may be another volume's by now.
"""

from collections.abc import Iterable
import os

from oslo_log import log as logging

from nova_libvirt_driver.configurators import disk_source
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import device as device_module
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import unmanaged
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import backing
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel import domain as domain_model

LOG = logging.getLogger(__name__)


def renewed(
        xml: str, instance: instance_spec.Instance,
        spec: guest_spec.GuestSpec | None, *, keep: bool = False) -> str:
    """Return a definition with the volumes where they are now.

    Volumes that the spec lacks are left out: they were detached, or could
    not be connected.

    :param spec: as the attachments have completed it; None when it is not
        known
    :param keep: volumes that the spec lacks stay as they are: the guest has
        just had them
    :raises WrongState: where a device is now is not known
    """
    domain = domain_model.Domain.parse(xml)
    if spec is None:
        _refuse(instance, _volumes(domain, None))
        return xml
    refuse_stale(domain, spec)
    before = domain.canonical()
    for disk in [] if keep else _others(domain, spec):
        LOG.warning('Starts without %s, which is not connected',
                    _named(disk), instance={'uuid': instance.uuid})
        domain.devices.disks.remove(disk)
    _move(domain, spec)
    return xml if domain.canonical() == before else domain.to_xml()


def renew(
        guests: guests_module.Guests, guest: handle.Guest,
        instance: instance_spec.Instance,
        spec: guest_spec.GuestSpec | None, *, keep: bool = False) -> None:
    """Define a stopped guest with its volumes where they are now.

    See :func:`renewed`.
    """
    before = guest.xml(inactive=True)
    xml = renewed(before, instance, spec, keep=keep)
    if xml != before:
        guests.define(xml, instance)


def renew_saved(
        guests: guests_module.Guests, guest: handle.Guest,
        spec: guest_spec.GuestSpec) -> None:
    """Let saved memory go on with the volumes where they are now.

    :raises WrongState: a volume that it was saved with is not connected
    :raises UnsupportedOperation: the hypervisor cannot change where they are
    """
    before = guest.xml(inactive=True)
    if not any(_volumes(domain_model.Domain.parse(before), spec)):
        return
    saved = domain_model.Domain.parse(guest.saved_xml())
    _refuse(spec, _others(saved, spec))
    refuse_stale(saved, spec)
    was = saved.canonical()
    _move(saved, spec)
    if saved.canonical() != was:
        guest.define_saved(saved.to_xml())
    renew(guests, guest, spec, spec)


def refuse_stale(
        domain: domain_model.Domain, spec: guest_spec.GuestSpec) -> None:
    """Refuse a file of a volume that is below the one that the guest had.

    What the service knows may be from before a snapshot, without what was
    written since; and what is above a file is lost once that is written to.

    :param domain: as it was defined
    :raises WrongState: there is one
    """
    for disk, volume in _pairs(domain, spec):
        had, told = disk.source_file or '', volume.source.path
        # Of a raw disk a guest could have written the header.
        if told != had and disk.driver_type == 'qcow2' and (
                os.path.dirname(told) == os.path.dirname(had)
                and told in _below(had, spec)):
            raise exception.WrongState(
                tried='start it', instance=spec.uuid,
                state=f'to have {told} as {volume.key}, and has written to '
                f'{had} over it', hint='a snapshot of the volume was made '
                'since: let the service ask how the volume is connected now')


def _below(path: str, spec: guest_spec.GuestSpec) -> set[str]:
    try:
        return {base.path for base in backing.chain(path)}
    except (OSError, exception.DriverError) as error:
        LOG.warning('It cannot be seen which files are below %s: %s', path,
                    error, instance={'uuid': spec.uuid})
        return set()


def _move(
        domain: domain_model.Domain, spec: guest_spec.GuestSpec) -> None:
    for disk, volume in _pairs(domain, spec):
        source = disk_model.Disk()
        disk_source.fill(source, volume)
        disk.take_source(source)


def _others(
        domain: domain_model.Domain,
        spec: guest_spec.GuestSpec) -> list[disk_model.Disk]:
    """Return the volumes of a domain that the spec lacks."""
    known = {disk.element for disk, _ in _pairs(domain, spec)}
    return [disk for disk in _volumes(domain, spec)
            if disk.element not in known]


def _pairs(
        domain: domain_model.Domain, spec: guest_spec.GuestSpec
) -> list[tuple[disk_model.Disk, disk_spec.DiskSpec]]:
    """Return the disk of each volume that the domain has.

    After a swap a disk still has the serial number of the volume before, and
    nothing but its name says which volume it is now.
    """
    found = [(device_module.find(domain.devices, volume.key), volume)
             for volume in spec.storage.volumes]
    pairs = [(disk, volume) for disk, volume in found
             if isinstance(disk, disk_model.Disk)]
    known = {disk.element for disk, _ in pairs}
    named = {disk.target_dev: disk for disk in _volumes(domain, spec)
             if disk.element not in known}
    return pairs + [(named[volume.target_dev], volume)
                    for disk, volume in found
                    if disk is None and volume.target_dev in named]


def _volumes(
        domain: domain_model.Domain,
        spec: guest_spec.GuestSpec | None) -> list[disk_model.Disk]:
    return [disk for disk in domain.devices.disks
            if unmanaged.is_volume(disk, spec)]


def _refuse(
        instance: instance_spec.Instance,
        disks: Iterable[disk_model.Disk]) -> None:
    named = ', '.join(_named(disk) for disk in disks if disk.source_dev)
    if named:
        raise exception.WrongState(
            tried='start it', instance=instance.uuid,
            state=f'defined with {named}, which is not connected',
            hint='reboot it hard: it is defined again, and loses memory that '
            'was saved')


def _named(disk: disk_model.Disk) -> str:
    return f'volume {disk.serial} as {disk.target_dev}'
