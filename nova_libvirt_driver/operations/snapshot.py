# SPDX-License-Identifier: Apache-2.0

"""Keeping the root disk of a guest as an image."""

from collections.abc import Callable
import dataclasses
import os

from oslo_log import log as logging

from nova_libvirt_driver.guest import freeze
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations.steps import disk_copy
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.storage import scratch as scratch_module
from nova_libvirt_driver.storage import spec_record

LOG = logging.getLogger(__name__)

_BYTES_PER_GIB = 1 << 30


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """Makes images of guests' root disks.

    Steps: note in the journal what is about to be made; make a folder for
    the copy; copy the disk, under a running guest with QEMU's own means and
    with frozen file systems for the moment in which the copy ends; convert
    the copy when another format is wanted; hand it to the image source.

    The folder is removed in any case. When a step fails, there is no copy,
    no image and no job, and the guest runs on. A connection that is lost
    while the disk is copied, and got back in the time that a copy may take,
    changes nothing. When the process is killed, the next snapshot, or who
    looks into the journal, removes the folder and the job, and thaws the
    guest.
    """

    OPERATION = 'snapshot'

    copier: disk_copy.DiskCopy
    scratch: scratch_module.Scratch
    exclusive: exclusive_module.Exclusive
    journal: journal_module.Journal
    specs: spec_record.SpecRecords

    def snapshot(
            self, instance: instance_spec.Instance, wanted: image_spec.Wanted,
            images: ports.ImageSource, progress: ports.Progress, *,
            require_quiesce: bool | None = None) -> None:
        """Make an image; see :meth:`base.ComputeDriver.snapshot`."""
        with (self.exclusive.hold(
                instance, self.OPERATION, progress) as watched,
              undo_module.Undo(self.OPERATION, instance) as undo):
            watched.step('check')
            if require_quiesce is None:
                require_quiesce = self.specs.features(
                    instance).require_quiesce
            source = self.copier.source(
                instance, require_quiesce=require_quiesce)
            folder = self.scratch.choose()
            undo.begin(self.journal, folder=os.path.basename(folder),
                       target_dev=source.target_dev)
            watched.step('folder')
            self.scratch.make(folder)
            undo.finally_('remove the copy',
                          lambda: self.scratch.remove(folder))
            copy = self.copier.copy(
                source, os.path.join(folder, 'copy'), watched, undo)
            self._upload(instance, wanted, copy, images, watched)
            undo.commit()

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """End the copying of an interrupted snapshot, and remove the copy."""
        guest = self.copier.guests.find_or_none(entry.note)
        if guest is not None and guest.state().power in reach.UP:
            guest.disk(str(entry.note.values['target_dev'])).abort()
            freeze.thaw_left(guest)
        self.remove_outside(entry)

    def remove_outside(self, entry: journal_module.Entry) -> None:
        """Remove the copy."""
        # Former versions wrote the path, which the operator may change.
        self.scratch.remove(self.scratch.at(
            os.path.basename(str(entry.note.values['folder']))))

    def _upload(
            self, instance: instance_spec.Instance, wanted: image_spec.Wanted,
            copy: disk_copy.Copy, images: ports.ImageSource,
            progress: ports.Progress) -> None:
        progress.step('upload')
        image = image_spec.Image(
            id=wanted.id, disk_format=copy.format,
            name=wanted.name or f'snapshot of {instance.name}',
            min_disk_gib=-(-copy.virtual_size_bytes // _BYTES_PER_GIB),
            size_bytes=os.fstat(copy.file.fileno()).st_size,
            properties={'image_type': 'snapshot',
                        'instance_uuid': instance.uuid})
        images.upload(image, copy.file, progress)
        LOG.info('Created image %s of the root disk', wanted.id,
                 instance={'uuid': instance.uuid})
