# SPDX-License-Identifier: Apache-2.0

"""Making a disk of a guest larger."""

import dataclasses

from nova_libvirt_driver import exception
from nova_libvirt_driver.operations.steps import disk_copy
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver.operations.steps import unplug as unplug_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import disks as disks_module
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model

OPERATION = 'resize'
_BYTES_PER_GIB = 1 << 30


@dataclasses.dataclass(frozen=True, slots=True)
class ResizeDisk:
    """Makes root disks larger, and lets guests see larger volumes.

    Steps: record the new size; make the disk larger. When that fails the
    record says the former size again. A disk never becomes smaller.
    """

    copier: disk_copy.DiskCopy
    disks: disks_module.Disks
    specs: spec_record.SpecRecords
    exclusive: exclusive_module.Exclusive

    def resize(
            self, instance: instance_spec.Instance, size_gib: int,
            progress: ports.Progress) -> None:
        """Make a root disk larger; see the contract's resize_root_disk."""
        with (self.exclusive.hold(instance, OPERATION, progress) as watched,
              undo_module.Undo(OPERATION, instance) as undo):
            watched.step('check')
            source = self.copier.source(instance)
            size_bytes = size_gib * _BYTES_PER_GIB
            if size_bytes < source.virtual_size_bytes:
                raise exception.InvalidRequest(
                    reason=f'the disk has {source.virtual_size_bytes} bytes '
                    f'already, {size_gib} GiB would be less')
            watched.step('record')
            former_gib = self.specs.note_root_size(instance, size_gib)
            undo.add('record the former size', lambda: (
                self.specs.note_root_size(instance, former_gib)))
            watched.step('grow')
            if source.live:
                source.guest.disk(source.target_dev).resize(size_bytes)
            else:
                self.disks.resize(source.path, source.format, size_bytes)
            undo.commit()

    def extend(
            self, instance: instance_spec.Instance, key: disk_spec.DiskKey,
            size_bytes: int, volume: ports.VolumeAttachment | None,
            progress: ports.Progress) -> None:
        """Let a running guest know of a larger volume; see extend_disk."""
        with self.exclusive.hold(
                instance, 'extend', progress,
                wait_s=unplug_module.BUSY_S) as watched:
            watched.step('check')
            guest = self.copier.guests.find(instance)
            found = guest.device(key).live()
            if found is None and guest.device(key).defined() is None:
                raise exception.InvalidRequest(
                    reason=f'instance {instance.uuid} has no {key}')
            if volume is not None:
                watched.step('extend on the host')
                size_bytes = volume.extend(size_bytes)
            if found is None:
                return
            assert isinstance(found, disk_model.Disk)
            disk = guest.disk(found.target_dev or '')
            now_bytes = disk.size_bytes()
            if size_bytes < now_bytes:
                raise exception.InvalidRequest(
                    reason=f'{key} has {now_bytes} bytes already, '
                    f'{size_bytes} would be less')
            watched.step('grow')
            disk.resize(size_bytes)
