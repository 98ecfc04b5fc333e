# SPDX-License-Identifier: Apache-2.0

"""Making the root disk of a guest larger."""

from nova_libvirt_driver import exception
from nova_libvirt_driver.operations.steps import disk_copy
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import files as files_module
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec

OPERATION = 'resize'
_BYTES_PER_GIB = 1 << 30


class ResizeDisk:
    """Makes root disks larger.

    Steps: record the new size; make the disk larger. When that fails the
    record says the former size again. A disk never becomes smaller.
    """

    def __init__(
            self, copier: disk_copy.DiskCopy, files: files_module.Files,
            exclusive: exclusive_module.Exclusive) -> None:
        self._copier = copier
        self._files = files
        self._exclusive = exclusive

    def resize(
            self, instance: instance_spec.Instance, size_gib: int,
            progress: ports.Progress) -> None:
        """Make a root disk larger; see the contract's resize_root_disk."""
        with (self._exclusive.hold(instance, OPERATION, progress) as watched,
              undo_module.Undo(OPERATION) as undo):
            watched.step('check')
            source = self._copier.source(instance)
            size_bytes = size_gib * _BYTES_PER_GIB
            if size_bytes < source.virtual_size_bytes:
                raise exception.InvalidRequest(
                    reason=f'the disk has {source.virtual_size_bytes} bytes '
                    f'already, {size_gib} GiB would be less')
            watched.step('record')
            former_gib = self._files.note_root_size(instance, size_gib)
            undo.add('record the former size', lambda: (
                self._files.note_root_size(instance, former_gib)))
            watched.step('grow')
            if source.live:
                source.guest.disk(source.target_dev).resize(size_bytes)
            else:
                self._files.resize(source.path, source.format, size_bytes)
            undo.commit()
