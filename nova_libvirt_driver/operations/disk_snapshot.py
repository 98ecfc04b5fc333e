# SPDX-License-Identifier: Apache-2.0

"""Snapshots of a volume that is a file, as its volume service wants them.

The volume service makes and removes the files, which are in one folder, each
over the one before. The guest is moved from one to the next here, and what two
of them have becomes one while it has them open.
"""

from collections.abc import Callable
import dataclasses
import os

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import block
from nova_libvirt_driver.guest import freeze
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations.steps import block_job
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver.operations.steps import unplug as unplug_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.storage import qemu_img as qemu_img_module
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model


@dataclasses.dataclass(frozen=True, slots=True)
class DiskSnapshot:
    """Moves guests to new files over the old ones, and merges files.

    Steps of a snapshot: freeze the guest, if it can be; let it write to the
    new file; thaw it. Steps of a merge: begin it, and wait for its end.

    When a step fails, or the process is killed, the guest is thawed, and a
    merge is given up: the files are as they were. Whether the guest writes to
    the new file is decided in one step, which QEMU does or does not.
    """

    OPERATION = 'disk snapshot'

    guests: guests_module.Guests
    exclusive: exclusive_module.Exclusive
    journal: journal_module.Journal
    qemu_img: qemu_img_module.QemuImg
    specs: spec_record.SpecRecords

    def snapshot(
            self, instance: instance_spec.Instance, key: disk_spec.DiskKey,
            name: str, progress: ports.Progress, *,
            require_quiesce: bool) -> None:
        """Move a guest; see :meth:`driver.LibvirtDriver.snapshot_disk`."""
        with (self.exclusive.hold(
                instance, self.OPERATION, progress,
                wait_s=unplug_module.BUSY_S) as watched,
              undo_module.Undo(self.OPERATION, instance) as undo):
            guest, disk, found = self._begin(instance, key, watched, undo)
            path = _beside(found, name)
            watched.step('snapshot')
            try:
                with freeze.frozen(guest, required=require_quiesce):
                    disk.redirect(path)
            except exception.DriverError:
                # A reply may have been lost.
                if _file(_find(guest, key)) != path:
                    raise
            self.specs.note(instance, lambda spec: _with_file(
                spec, key, path))
            undo.commit()

    def merge(
            self, instance: instance_spec.Instance, key: disk_spec.DiskKey,
            base: str, top: str, progress: ports.Progress) -> None:
        """Merge files; see :meth:`driver.LibvirtDriver.merge_disk`."""
        with (self.exclusive.hold(
                instance, self.OPERATION, progress,
                wait_s=unplug_module.BUSY_S) as watched,
              undo_module.Undo(self.OPERATION, instance) as undo):
            guest, disk, found = self._begin(instance, key, watched, undo)
            is_up = guest.state().power in reach.UP
            if not is_up and found.driver_type != 'qcow2':
                # Its guest may have written any header to it.
                raise exception.InvalidRequest(
                    reason=f'{_file(found)} is not a qcow2 file, and has '
                    'nothing below')
            if not is_up and guest.has_saved():
                raise exception.WrongState(
                    tried=f'merge files of {key}', instance=instance.uuid,
                    state='suspended: resume it')
            below = (found.backing_files() if is_up else
                     self.qemu_img.files_below(_file(found)))
            lower, upper = (name and _beside(found, name)
                            for name in (base, top))
            if upper and upper not in (_file(found), *below) and (
                    lower in below and os.path.exists(upper)):
                # Done before, and the volume service does not know yet.
                undo.commit()
                return
            order = [below.index(path) for path in filter(None, (
                upper, lower)) if path in below]
            if len(order) < bool(base or top) + bool(top) or (
                    order != sorted(set(order))):
                raise exception.InvalidRequest(
                    reason=f'{key} has no files {base} and {top} in this '
                    f'order; below {_file(found)} are {", ".join(below)}')
            watched.step('merge')
            if not is_up:
                self.qemu_img.merge(_file(found), lower, upper, watched)
                undo.commit()
                return
            # Before: a call that outlives its deadline may begin it.
            undo.add('give up the merging', disk.abort)
            block_job.follow(
                guest, disk, lambda: disk.merge(lower, upper),
                lambda job: job is None, watched)
            # Libvirt does not say how a job has ended.
            if _find(guest, key).backing_files() != [
                    *below[:below.index(upper) if upper else 0],
                    *below[below.index(lower) if lower else len(below):]]:
                raise exception.StorageFailure(
                    reason=f'the files of {key} could not be merged: is '
                    'there room?', path=_file(found))
            undo.commit()

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Give up the merging, and thaw the guest."""
        guest = self.guests.find_or_none(entry.note)
        if guest is not None and guest.state().power in reach.UP:
            guest.disk(str(entry.note.values['target_dev'])).abort()
            freeze.thaw_left(guest)

    def _begin(
            self, instance: instance_spec.Instance, key: disk_spec.DiskKey,
            watched: exclusive_module.Watched, undo: undo_module.Undo
    ) -> tuple[handle.Guest, block.Disk, disk_model.Disk]:
        watched.step('check')
        guest = self.guests.find(instance)
        found = _find(guest, key)
        undo.begin(self.journal, target_dev=found.target_dev)
        return guest, guest.disk(found.target_dev or ''), found


def _find(guest: handle.Guest, key: disk_spec.DiskKey) -> disk_model.Disk:
    device = guest.device(key)
    found = device.live() or device.defined()
    if not isinstance(found, disk_model.Disk) or not found.source_file:
        raise exception.InvalidRequest(
            reason=f'instance {guest.uuid} has no {key} that is a file')
    return found


def _with_file(
        spec: guest_spec.GuestSpec, key: disk_spec.DiskKey,
        path: str) -> guest_spec.GuestSpec:
    disk = spec.device(key)
    if not isinstance(disk, disk_spec.DiskSpec):
        return spec
    return spec.with_device(dataclasses.replace(
        disk, format='qcow2',
        source=dataclasses.replace(disk.source, path=path)))


def _file(disk: disk_model.Disk) -> str:
    return disk.source_file or ''


def _beside(disk: disk_model.Disk, name: str) -> str:
    if name != os.path.basename(name) or name in ('', '.', '..'):
        raise exception.InvalidRequest(
            reason=f'{name!r} is not the name of a file beside the volume')
    return os.path.join(os.path.dirname(_file(disk)), name)
