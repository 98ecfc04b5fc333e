# SPDX-License-Identifier: Apache-2.0

"""All operations of a driver, made and joined."""

from collections.abc import Callable
import dataclasses

from nova_libvirt_driver.events import router as router_module
from nova_libvirt_driver.guest import detaching
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import statistics_cache as statistics_module
from nova_libvirt_driver.host import capabilities as capabilities_module
from nova_libvirt_driver.operations import announcement
from nova_libvirt_driver.operations import attach
from nova_libvirt_driver.operations import cold_migration
from nova_libvirt_driver.operations import destroy
from nova_libvirt_driver.operations import detach
from nova_libvirt_driver.operations import diagnostics
from nova_libvirt_driver.operations import disk_snapshot
from nova_libvirt_driver.operations import image_cache
from nova_libvirt_driver.operations import left_volumes
from nova_libvirt_driver.operations import live_arrival
from nova_libvirt_driver.operations import live_migration
from nova_libvirt_driver.operations import power_off
from nova_libvirt_driver.operations import power_on
from nova_libvirt_driver.operations import reboot
from nova_libvirt_driver.operations import recovery
from nova_libvirt_driver.operations import rename
from nova_libvirt_driver.operations import rescue
from nova_libvirt_driver.operations import resize_disk
from nova_libvirt_driver.operations import snapshot
from nova_libvirt_driver.operations import spawn
from nova_libvirt_driver.operations.steps import clean_ups as clean_ups_module
from nova_libvirt_driver.operations.steps import disk_copy
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import elsewhere
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import outgoing
from nova_libvirt_driver.operations.steps import post_copy
from nova_libvirt_driver.operations.steps import rebuild as rebuild_module
from nova_libvirt_driver.operations.steps import serial_ports as serial_module
from nova_libvirt_driver.operations.steps import unplug as unplug_module
from nova_libvirt_driver.operations import swap_disk
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import storage as storage_module
from nova_libvirt_driver.volumes import host as volumes_module


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """The operations, named after what they do."""

    exclusive: exclusive_module.Exclusive
    """Has to be held by what changes a guest without any of them."""
    spawn: spawn.Spawn
    destroy: destroy.Destroy
    recovery: recovery.Recovery
    power_on: power_on.PowerOn
    power_off: power_off.PowerOff
    reboot: reboot.Reboot
    rescue: rescue.Rescue
    snapshot: snapshot.Snapshot
    resize_disk: resize_disk.ResizeDisk
    moves: 'Moves'
    attach: attach.Attach
    detach: detach.Detach
    swap_disk: swap_disk.SwapDisk
    disk_snapshot: disk_snapshot.DiskSnapshot
    rename: rename.Rename
    diagnostics: diagnostics.Diagnostics
    image_care: image_cache.ImageCare
    left_volumes: left_volumes.LeftVolumes


@dataclasses.dataclass(frozen=True, slots=True)
class Moves:
    """Those that take a guest to another host, or give it another size."""

    departure: cold_migration.Departure
    arrival: cold_migration.Arrival
    live_departure: live_migration.LiveDeparture
    live_arrival: live_arrival.LiveArrival
    announcement: announcement.Announcement


def build(
        storage: storage_module.Storage, guests: guests_module.Guests,
        capabilities: capabilities_module.Capabilities,
        restarts: router_module.Restarts,
        statistics: statistics_module.StatisticsCache,
        volumes: volumes_module.HostVolumes, *,
        touched: Callable[[str], None],
        attachments: ports.AttachmentsOf | None,
        attachment: ports.AttachmentOf | None,
        connector: Callable[[], ports.VolumeConnector] | None,
        home: ports.HomeOf,
        policy: policy_spec.GuestPolicy, serial_ports: range,
        job_timeout_s: float, soft_reboot_timeout_s: float,
        patience: detaching.Patience,
        ways: migration_spec.Ways) -> Operations:
    """Make the operations of one driver; touches nothing.

    :param touched: takes the uuid of each instance to which something was
        done
    :param attachments: returns those of an instance whose operation was
        interrupted; None where only another process knows them
    :param attachment: likewise that of one device
    :param connector: returns what connects this host to volumes, likewise
    :param home: returns where the service has an instance
    """
    host, folders, files = storage.policy.host, storage.folders, storage.files
    journal, specs, rescues = storage.journal, storage.specs, storage.rescues
    clean_ups = clean_ups_module.CleanUps(journal, guests, attachments)
    exclusive = exclusive_module.Exclusive(
        journal.folder, host, touched, clean_ups.settle)
    domains = domains_module.Domains(
        guests, capabilities, policy, storage.policy.backend, folders,
        serial_module.SerialPorts(
            serial_ports, storage.policy.instances_path, guests.definitions))
    rebuild = rebuild_module.Rebuild(domains, folders, files, rescues)
    unplug = unplug_module.Unplug(guests, specs, rescues, patience, attachment)
    copier = disk_copy.DiskCopy(guests, folders, storage.qemu_img,
                                storage.policy, timeout_s=job_timeout_s)
    operations = Operations(
        exclusive=exclusive,
        spawn=spawn.Spawn(domains, folders, files, exclusive, journal, host),
        destroy=destroy.Destroy(
            guests, folders, exclusive, journal, clean_ups),
        recovery=recovery.Recovery(
            journal, clean_ups, exclusive, storage.cache.sweep_temporaries),
        power_on=power_on.PowerOn(guests, files, specs, rebuild, exclusive,
                                  restarts, storage.autostart.started),
        power_off=power_off.PowerOff(
            guests, exclusive, storage.autostart.stopped),
        reboot=reboot.Reboot(
            guests, files, specs, rebuild, exclusive, journal, restarts,
            timeout_s=soft_reboot_timeout_s),
        rescue=rescue.Rescue(domains, files, rescues, specs, rebuild,
                             exclusive, journal, restarts),
        snapshot=snapshot.Snapshot(
            copier, storage.scratch, exclusive, journal, specs),
        resize_disk=resize_disk.ResizeDisk(
            copier, storage.disks, specs, exclusive),
        moves=_moves(domains, storage, rebuild, exclusive, clean_ups, ways,
                     home, restarts),
        attach=attach.Attach(
            domains, rebuild, unplug, specs, exclusive, journal),
        detach=detach.Detach(guests, unplug, exclusive, journal),
        swap_disk=swap_disk.SwapDisk(
            domains, specs, exclusive, journal, attachment),
        disk_snapshot=disk_snapshot.DiskSnapshot(
            guests, exclusive, journal, storage.qemu_img, specs),
        rename=rename.Rename(guests, exclusive, specs),
        diagnostics=diagnostics.Diagnostics(statistics, folders, specs, host),
        image_care=image_cache.ImageCare(
            guests, storage.cache, storage.policy),
        left_volumes=left_volumes.LeftVolumes(volumes, journal, connector))
    _register(operations, clean_ups, unplug)
    return operations


def _moves(
        domains: domains_module.Domains, storage: storage_module.Storage,
        rebuild: rebuild_module.Rebuild,
        exclusive: exclusive_module.Exclusive,
        clean_ups: clean_ups_module.CleanUps, ways: migration_spec.Ways,
        home: ports.HomeOf, restarts: router_module.Restarts) -> Moves:
    guests = domains.guests
    return Moves(
        cold_migration.Departure(guests, storage, rebuild, exclusive),
        cold_migration.Arrival(
            domains, storage, rebuild, exclusive, restarts),
        live_migration.LiveDeparture(
            domains, storage, rebuild, exclusive,
            outgoing.Outgoing(domains, storage, ways),
            elsewhere.Elsewhere(
                guests, storage.folders, storage.journal, home),
            post_copy.PostCopy(guests, ways)),
        live_arrival.LiveArrival(
            domains, storage, exclusive, clean_ups, home),
        announcement.Announcement(guests))


def _register(
        operations: Operations, clean_ups: clean_ups_module.CleanUps,
        unplug: unplug_module.Unplug) -> None:
    # The lock that all of them take ends what any of them has left.
    moves = operations.moves
    for journalled in (operations.spawn, operations.destroy,
                       operations.reboot, operations.rescue,
                       operations.snapshot, operations.swap_disk,
                       operations.disk_snapshot, moves.departure,
                       moves.arrival, moves.live_departure,
                       moves.live_arrival, operations.left_volumes):
        clean_ups.register(journalled.OPERATION, journalled)
    for plugging in (operations.attach, operations.detach):
        clean_ups.register(plugging.OPERATION, unplug)
