# SPDX-License-Identifier: Apache-2.0

"""A copy of a guest's root disk, whether the guest runs or not."""

from collections.abc import Callable
import dataclasses
import time

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import block
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations.steps import files as files_module
from nova_libvirt_driver.operations.steps import freeze
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import qemu_img as qemu_img_module
from nova_libvirt_driver.xmlmodel import domain as domain_model

_QCOW2 = 'qcow2'
_POLL_MIN_S, _POLL_MAX_S = 0.02, 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A root disk to copy."""

    guest: handle.Guest
    path: str
    format: str
    virtual_size_bytes: int
    target_dev: str
    live: bool
    """QEMU has it open, and may write to it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Copy:
    """A finished copy; it has no backing file."""

    path: str
    format: str
    virtual_size_bytes: int


class DiskCopy:
    """Copies root disks.

    :param timeout_s: how long a copy under a running guest may take
    """

    def __init__(
            self, guests: guests_module.Guests, files: files_module.Files,
            qemu_img: qemu_img_module.QemuImg,
            policy: policy_spec.StoragePolicy, *, timeout_s: float,
            sleep: Callable[[float], object] = time.sleep) -> None:
        self._guests = guests
        self._files = files
        self._qemu_img = qemu_img
        self._policy = policy
        self._timeout_s = timeout_s
        self._sleep = sleep

    def source(self, instance: instance_spec.Instance) -> Source:
        """Look at a guest's root disk.

        Its format is the recorded one: its bytes are the tenant's.

        :raises InvalidRequest: it has none of its own
        :raises StorageFailure: there is no record of its format
        """
        guest = self._guests.find(instance)
        path = self._files.folder(instance).disk
        target_dev = _target_dev(guest, path)
        format = self._files.format_of(instance, path)
        return Source(
            guest, path, format,
            self._qemu_img.info(path, format).virtual_size_bytes, target_dev,
            live=guest.state().power in reach.UP
            and not self._guests.is_test_driver())

    def copy(
            self, source: Source, path: str, progress: ports.Progress,
            undo: undo_module.Undo) -> Copy:
        """Copy a disk to a file that does not exist yet.

        :param undo: gets what ends the copying under a running guest
        """
        wanted = self._policy.snapshot_format or source.format
        compress = self._policy.snapshot_compression and wanted == _QCOW2
        if not source.live:
            progress.step('copy')
            self._qemu_img.convert(
                source.path, source.format, path, wanted, compress=compress,
                progress=progress)
            return Copy(path, wanted, source.virtual_size_bytes)
        between = wanted if wanted in ('raw', _QCOW2) else _QCOW2
        self._copy_live(source, path, between, progress, undo)
        if between == wanted and not compress:
            return Copy(path, wanted, source.virtual_size_bytes)
        progress.step('convert')
        converted = f'{path}.{wanted}'
        self._qemu_img.convert(path, between, converted, wanted,
                               compress=compress, progress=progress)
        return Copy(converted, wanted, source.virtual_size_bytes)

    def _copy_live(
            self, source: Source, path: str, format: str,
            progress: ports.Progress, undo: undo_module.Undo) -> None:
        progress.step('copy')
        self._qemu_img.create(path, format, source.virtual_size_bytes)
        disk = source.guest.disk(source.target_dev)
        # Registered first: a call that outlives its deadline may start it.
        undo.finally_('end the copying', disk.abort)
        disk.copy(path, format)
        self._wait_until_ready(disk, source, path, progress)
        progress.step('end the copy')
        with freeze.frozen(source.guest):
            disk.abort()

    def _wait_until_ready(
            self, disk: block.Disk, source: Source, path: str,
            progress: ports.Progress) -> None:
        deadline = time.monotonic() + self._timeout_s
        pause_s = _POLL_MIN_S
        job: block.BlockJob | None = block.BlockJob(0, 0, ready=False)
        while True:
            try:
                job = disk.job()
            except exception.HypervisorUnavailable:
                # QEMU goes on copying, and a daemon that was started again
                # knows of the job.
                if time.monotonic() > deadline:
                    raise
            if job is None:
                raise exception.StorageFailure(
                    reason=f'the copying of disk {source.target_dev} of '
                    f'instance {source.guest.uuid} ended before its time: '
                    'is there room for the copy?', path=path)
            progress.advance(job.done, job.total)
            if job.ready:
                return
            if time.monotonic() > deadline:
                raise exception.WaitTimeout(
                    awaited='the end of the copying',
                    timeout_s=self._timeout_s)
            self._sleep(pause_s)
            pause_s = min(pause_s * 1.5, _POLL_MAX_S)


def _target_dev(guest: handle.Guest, path: str) -> str:
    model = domain_model.Domain.parse(guest.xml())
    for disk in model.devices.disks:
        if disk.source_file == path and disk.target_dev:
            return disk.target_dev
    raise exception.InvalidRequest(
        reason=f'instance {guest.uuid} has no root disk of its own')
