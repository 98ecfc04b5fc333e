# SPDX-License-Identifier: Apache-2.0

"""What libvirt needs to know of a guest that it live-migrates.

And what libvirt does not copy of it.
"""

import dataclasses
import os

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import migration
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import relocation
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.storage import record
from nova_libvirt_driver.storage import storage as storage_module
from nova_libvirt_driver.xmlmodel import domain as domain_model

_PAUSED = instance_spec.PowerState.PAUSED


@dataclasses.dataclass(frozen=True, slots=True)
class Outgoing:
    """Says how guests go, and copies their files."""

    domains: domains_module.Domains
    storage: storage_module.Storage
    ways: migration_spec.Ways

    def request(
            self, guest: handle.Guest, spec: guest_spec.GuestSpec,
            destination: migration_spec.Destination) -> migration.Request:
        move = relocation.Relocation(
            spec, destination, self.domains.inputs(spec),
            self.storage.folders.of(spec).path)
        live = guest.xml(migratable=True)
        disks: dict[str, str] = {}
        if not destination.is_shared:
            disks = self._own_disks(domain_model.Domain.parse(live), spec)
        if disks and self.ways.tunnelled:
            raise exception.UnsupportedOperation(
                tried='copy the disks of the guest to the other host',
                reason='with [libvirt] live_migration_tunnelled libvirt '
                'copies no disks; take live_migration_with_native_tls')
        rooted = self.storage.files.rooted(spec, destination.image_id)
        ways = self.ways
        if ways.post_copy and guest.state().power is _PAUSED:
            # QEMU refuses it for a guest that stands still.
            ways = dataclasses.replace(ways, post_copy=False)
        return migration.Request(
            destination=destination, ways=ways, xml=move.xml(live),
            persistent_xml=move.xml(guest.xml(
                inactive=True, migratable=True)),
            disks=tuple(disks), whole=bool(rooted & set(disks.values())))

    def _own_disks(
            self, domain: domain_model.Domain,
            spec: guest_spec.GuestSpec) -> dict[str, str]:
        """Return the paths of disks to be copied, by their targets.

        :raises WrongState: one of a file is neither in the folder of the
            instance nor a volume
        """
        folder = self.storage.folders.of(spec)
        formats = record.read_all(folder.disk_info)
        volumes = {volume.target_dev for volume in spec.storage.volumes}
        found = {}
        for disk in domain.devices.disks:
            path, target = disk.source_file, disk.target_dev or ''
            if not path or target in volumes or disk.readonly or (
                    path == folder.config_drive):
                continue
            if path not in formats or os.path.dirname(path) != folder.path:
                raise exception.WrongState(
                    tried='live-migrate it', instance=spec.uuid,
                    state=f'connected to {path}, which would not follow',
                    hint='detach that disk')
            found[target] = path
        return found

    def copy_files(
            self, instance: instance_spec.Instance,
            destination: migration_spec.Destination,
            carrier: ports.Carrier, progress: ports.Progress) -> None:
        """Copy what the guest only reads: libvirt copies no such disk."""
        drive = self.storage.folders.of(instance).config_drive
        if os.path.exists(drive):
            carrier.copy(drive, os.path.join(
                destination.instances_path or (
                    self.storage.policy.instances_path),
                instance.uuid, os.path.basename(drive)),
                lambda: progress.advance(0, 0))
