# SPDX-License-Identifier: Apache-2.0

"""One disk of a running guest: copying it, making it larger."""

import dataclasses

import libvirt

from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import devices
from nova_libvirt_driver.guest import reach as reach_module
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model

_BYTES_PER_MIB = 1 << 20

# A persistent domain takes no other job, and the job ends with the guest.
_COPY_FLAGS = (libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
               | libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT)


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

    def copy(
            self, path: str, format: str, *, shallow: bool = False,
            bandwidth_mib_s: int = 0) -> None:
        """Begin to copy the disk to a file that exists.

        The guest goes on with its own disk until :meth:`pivot`; the job
        ends with the guest, or by :meth:`abort`.

        :param path: file of the right size and format
        :param shallow: only what is above the backing file, which the file
            names as its own
        :param bandwidth_mib_s: limit, 0 for none
        :raises WrongState: the guest is not up
        """
        flags = _COPY_FLAGS
        if shallow:
            flags |= libvirt.VIR_DOMAIN_BLOCK_COPY_SHALLOW
        params = ({libvirt.VIR_DOMAIN_BLOCK_COPY_BANDWIDTH:
                   bandwidth_mib_s * _BYTES_PER_MIB}
                  if bandwidth_mib_s else None)
        self.copy_to(_file_xml(path, format), params, flags)

    def copy_to(
            self, xml: str, params: dict[str, int] | None = None,
            flags: int = _COPY_FLAGS) -> None:
        """Likewise, to what the XML of another disk names."""
        self._reach.call(
            f'copy disk {self._target_dev}',
            lambda domain: domain.blockCopy(
                self._target_dev, xml, params, flags),
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
