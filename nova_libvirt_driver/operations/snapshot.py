# SPDX-License-Identifier: Apache-2.0

"""Keeping the root disk of a guest as an image."""

import os

from oslo_log import log as logging

from nova_libvirt_driver.operations.steps import disk_copy
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import freeze
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.storage import scratch as scratch_module

LOG = logging.getLogger(__name__)

OPERATION = 'snapshot'
_BYTES_PER_GIB = 1 << 30


class Snapshot:
    """Makes images of guests' root disks.

    Steps: note in the journal what is about to be made; make a folder for
    the copy; copy the disk, under a running guest with QEMU's own means and
    with frozen file systems for the moment in which the copy ends; convert
    the copy when another format is wanted; hand it to the image source.

    The folder is removed in any case. When a step fails, there is no copy,
    no image and no job, and the guest runs on. A connection that is lost
    while the disk is copied, and got back in the time that a copy may take,
    is no matter. When the process is killed, the next snapshot, or who looks
    into the journal, removes the folder and the job, and thaws the guest.
    """

    def __init__(
            self, copier: disk_copy.DiskCopy,
            scratch: scratch_module.Scratch,
            exclusive: exclusive_module.Exclusive,
            journal: journal_module.Journal) -> None:
        self._copier = copier
        self._scratch = scratch
        self._exclusive = exclusive
        self._journal = journal

    def snapshot(
            self, instance: instance_spec.Instance, wanted: image_spec.Wanted,
            images: ports.ImageSource, progress: ports.Progress) -> None:
        """Make an image; see :meth:`base.ComputeDriver.snapshot`."""
        with (self._exclusive.hold(instance, OPERATION, progress) as watched,
              undo_module.Undo(OPERATION) as undo):
            watched.step('check')
            source = self._copier.source(instance)
            self._clean_up_before(source)
            folder = self._scratch.choose()
            entry = self._journal.begin(
                OPERATION, uuid=instance.uuid, name=instance.name,
                folder=folder, target_dev=source.target_dev)
            undo.journal(entry)
            watched.step('folder')
            self._scratch.make(folder)
            undo.finally_('remove the copy',
                          lambda: self._scratch.remove(folder))
            copy = self._copier.copy(
                source, os.path.join(folder, 'copy'), watched, undo)
            self._upload(instance, wanted, copy, images, watched)
            undo.commit()

    def _clean_up_before(self, source: disk_copy.Source) -> None:
        """End the copying of a killed snapshot; it would be in the way."""
        with self._journal.left(source.guest.uuid, OPERATION) as entries:
            for entry in entries:
                target_dev = str(entry.values['target_dev'])
                if source.live:
                    source.guest.disk(target_dev).abort()
                    freeze.thaw_left(source.guest)
                self._scratch.remove(str(entry.values['folder']))
                entry.end()

    def _upload(
            self, instance: instance_spec.Instance, wanted: image_spec.Wanted,
            copy: disk_copy.Copy, images: ports.ImageSource,
            progress: ports.Progress) -> None:
        progress.step('upload')
        image = image_spec.Image(
            id=wanted.id, disk_format=copy.format,
            name=wanted.name or f'snapshot of {instance.name}',
            min_disk_gib=-(-copy.virtual_size_bytes // _BYTES_PER_GIB),
            size_bytes=os.path.getsize(copy.path),
            properties={'image_type': 'snapshot',
                        'instance_uuid': instance.uuid})
        with open(copy.path, 'rb') as file:
            images.upload(image, file, progress)
        LOG.info('Guest %s: image %s is made of its disk.', instance.uuid,
                 wanted.id)
