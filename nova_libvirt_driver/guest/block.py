# SPDX-License-Identifier: Apache-2.0

"""One disk of a running guest: copying it, making it larger."""

from collections.abc import Iterable
import dataclasses

import libvirt

from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import devices
from nova_libvirt_driver.guest import reach as reach_module
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel import snapshot

# A persistent domain takes no other job, and the job ends with the guest.
_COPY_FLAGS = (libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
               | libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT)


_REDIRECT_FLAGS = (libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
                   | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
                   | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
                   | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC)


@dataclasses.dataclass(frozen=True, slots=True)
class BlockJob:
    """A job on a disk; done and total are in units that libvirt chooses."""

    done: int
    total: int
    ready: bool
    """The copy is complete, and follows the disk until the job ends."""


class Disk:
    """One disk, named by its target device."""

    def __init__(
            self, reach: reach_module.Reach, target_dev: str) -> None:
        self._reach = reach
        self._target_dev = target_dev

    def copy(self, path: str, format: str) -> None:
        """Begin to copy the disk to a file that exists.

        The guest goes on with its own disk until :meth:`pivot`; the job
        ends with the guest, or by :meth:`abort`.

        :param path: file of the right size and format
        :raises WrongState: the guest is not up
        """
        self.copy_to(_file_xml(path, format))

    def copy_to(self, xml: str) -> None:
        """Likewise, to what the XML of another disk names."""
        self._reach.call(
            f'copy disk {self._target_dev}',
            lambda domain: domain.blockCopy(
                self._target_dev, xml, None, _COPY_FLAGS),
            needs=reach_module.UP)

    def job(self) -> BlockJob | None:
        """Return how far the disk's job is, None when there is none.

        :raises WrongState: the guest is not up
        """
        return self._reach.call(
            f'look at the job of disk {self._target_dev}', self._job,
            needs=reach_module.UP)

    def abort(self) -> None:
        """End the disk's job without effect; there need not be any.

        Waits until the copy is not written to any more.
        """
        try:
            self._reach.call(
                f'abort the job of disk {self._target_dev}',
                lambda domain: domain.blockJobAbort(self._target_dev, 0),
                needs=reach_module.UP)
        except exception.WrongState:
            # The job has ended with the guest.
            return
        except exception.LibvirtFailure:
            # Libvirt calls it a wrong argument when there is no job.
            if self.job() is not None:
                raise

    def pivot(self) -> None:
        """Let the guest go on with the copy; the job must be ready."""
        self._reach.call(
            f'pivot disk {self._target_dev}',
            lambda domain: domain.blockJobAbort(
                self._target_dev,
                libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT),
            needs=reach_module.UP)

    def redirect(self, path: str) -> None:
        """Let the guest write to a file over its own from now on.

        :param path: of a qcow2 file that is made already, over the disk's own
        """
        def redirect(domain: protocol.Domain) -> object:
            names = [disk.target_dev or '' for disk in devices.read(
                domain.XMLDesc(0)).disks]
            return domain.snapshotCreateXML(
                _snapshot_xml(names, self._target_dev, path), _REDIRECT_FLAGS)

        self._reach.call(
            f'let disk {self._target_dev} be another file', redirect)

    def merge(self, base: str, top: str) -> None:
        """Begin to merge files that the disk consists of.

        :param base: takes in what is above it; empty is for none
        :param top: up to which, so that it is not in use any more; empty for
            all between the base and the disk, which takes it in itself
        :raises WrongState: the guest is not up
        """
        self._reach.call(
            f'merge files of disk {self._target_dev}',
            lambda domain: domain.blockCommit(
                self._target_dev, base, top, 0,
                libvirt.VIR_DOMAIN_BLOCK_COMMIT_RELATIVE) if top
            else domain.blockRebase(
                self._target_dev, base or None, 0,
                libvirt.VIR_DOMAIN_BLOCK_REBASE_RELATIVE if base else 0),
            needs=reach_module.UP)

    def resize(self, size_bytes: int) -> None:
        """Make the disk larger under the running guest.

        :raises WrongState: the guest is not up
        """
        self._reach.call(
            f'resize disk {self._target_dev}',
            lambda domain: domain.blockResize(
                self._target_dev, size_bytes,
                libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES),
            needs=reach_module.UP)

    def size_bytes(self) -> int:
        """Return the size that the guest sees.

        :raises WrongState: the guest is not up
        """
        return self._reach.call(
            f'ask for the size of disk {self._target_dev}',
            lambda domain: domain.blockInfo(self._target_dev, 0)[0],
            needs=reach_module.UP)

    def _job(self, domain: protocol.Domain) -> BlockJob | None:
        info = domain.blockJobInfo(self._target_dev, 0)
        if not info:
            return None
        done, total = info['cur'], info['end']
        # They are equal at first, and before libvirt has heard that the copy
        # is complete; and not any more when a guest writes much.
        return BlockJob(done, total, self._is_mirror_ready(domain))

    def _is_mirror_ready(self, domain: protocol.Domain) -> bool:
        return any(disk.mirror_ready == 'yes'
                   for disk in devices.read(domain.XMLDesc(0)).disks
                   if disk.target_dev == self._target_dev)


def _file_xml(path: str, format: str) -> str:
    disk = disk_model.Disk()
    disk.type = 'file'
    disk.source_file = path
    disk.driver_type = format
    return disk.to_xml()


def _snapshot_xml(names: Iterable[str], name: str, path: str) -> str:
    """Return the XML of a snapshot of one disk, and none of the others."""
    made = snapshot.DomainSnapshot()
    for one in names:
        disk = made.disks.add()
        disk.name, disk.snapshot = one, 'no'
        if one == name:
            disk.snapshot, disk.type = 'external', 'file'
            disk.driver_type, disk.source_file = 'qcow2', path
    return made.to_xml()
