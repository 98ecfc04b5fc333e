# SPDX-License-Identifier: Apache-2.0

"""Answers of the driver as Nova's objects."""

from collections.abc import Iterable
import os
from typing import Any

from nova.virt import event as nova_event
from nova.virt import hardware
from oslo_serialization import jsonutils

from nova_libvirt_driver.spec import diagnostics as diagnostics_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import instance as instance_spec


def info(found: instance_spec.InstanceInfo) -> hardware.InstanceInfo:
    """Return how a guest is; the numbers of the states are the same."""
    return hardware.InstanceInfo(state=int(found.state))


def disks(found: Iterable[disk_spec.DiskUse]) -> str:
    """Return the disks of a guest as one host tells another of them."""
    return jsonutils.dumps([{
        'path': disk.path, 'type': disk.format,
        'virt_disk_size': disk.size_bytes, 'disk_size': disk.taken_bytes,
        'over_committed_disk_size': disk.growth_bytes,
        'backing_file': os.path.basename(disk.backing_file or ''),
    } for disk in found])


def formats(disks: str) -> dict[str, str]:
    """Return the formats of the disks that another host tells of."""
    return {os.path.basename(disk['path']): disk['type']
            for disk in jsonutils.loads(disks)
            if disk['type'] in ('raw', 'qcow2')}


def volume_usage(
        wanted: Iterable[dict[str, Any]],
        counters: diagnostics_spec.DiskCounters) -> list[dict[str, Any]]:
    """Return the counters of volumes; of one that is not in use, none.

    :param wanted: instances, each with its block device mappings
    """
    found = []
    for one in wanted:
        disks = {disk.target_dev: disk
                 for disk in counters.get(one['instance'].uuid, ())
                 if disk.read_requests is not None}
        for bdm in one['instance_bdms']:
            disk = disks.get((bdm['device_name'] or '').removeprefix('/dev/'))
            if disk is not None:
                found.append({
                    'volume': bdm['volume_id'], 'instance': one['instance'],
                    'rd_req': disk.read_requests,
                    'rd_bytes': disk.read_bytes or 0,
                    'wr_req': disk.write_requests or 0,
                    'wr_bytes': disk.write_bytes or 0})
    return found


def block_stats(
        disks: Iterable[diagnostics_spec.DiskDiagnostics],
        name: str) -> list[int] | None:
    """Return the counters of one disk, None when they are not known."""
    return next(([
        disk.read_requests, disk.read_bytes or 0, disk.write_requests or 0,
        disk.write_bytes or 0, disk.errors or 0] for disk in disks
        if disk.target_dev == name and disk.read_requests is not None), None)


def lifecycle(
        event: event_spec.LifecycleEvent) -> nova_event.LifecycleEvent:
    """Return an event; its time is that of its arrival."""
    return nova_event.LifecycleEvent(
        event.uuid, TRANSITIONS[event.transition], event.timestamp)


TRANSITIONS = {
    event_spec.Transition.STARTED: nova_event.EVENT_LIFECYCLE_STARTED,
    event_spec.Transition.STOPPED: nova_event.EVENT_LIFECYCLE_STOPPED,
    event_spec.Transition.CRASHED: nova_event.EVENT_LIFECYCLE_STOPPED,
    event_spec.Transition.PAUSED: nova_event.EVENT_LIFECYCLE_PAUSED,
    event_spec.Transition.RESUMED: nova_event.EVENT_LIFECYCLE_RESUMED,
    event_spec.Transition.SUSPENDED: nova_event.EVENT_LIFECYCLE_SUSPENDED,
    event_spec.Transition.POSTCOPY_STARTED:
        nova_event.EVENT_LIFECYCLE_POSTCOPY_STARTED,
    event_spec.Transition.MIGRATION_COMPLETED:
        nova_event.EVENT_LIFECYCLE_MIGRATION_COMPLETED,
}
