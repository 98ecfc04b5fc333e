# SPDX-License-Identifier: Apache-2.0

"""A copy of a guest's root disk, whether the guest runs or not."""

import dataclasses
import os
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import freeze
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.privileged import client
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import backing
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import qemu_img as qemu_img_module
from nova_libvirt_driver.storage import record
from nova_libvirt_driver.xmlmodel import domain as domain_model

_QCOW2 = 'qcow2'
_BYTES_PER_BLOCK = 512
"""Of ``st_blocks``."""


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
    require_quiesce: bool = False
    """Without frozen file systems there is no copy while it is live."""


@dataclasses.dataclass(frozen=True, slots=True)
class Copy:
    """A finished copy; it has no backing file."""

    file: typing.BinaryIO
    """Open for reading; libvirt may have given it to another user."""
    format: str
    virtual_size_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class DiskCopy:
    """Copies root disks.

    :param timeout_s: how long a copy under a running guest may take
    """

    guests: guests_module.Guests
    folders: folder_module.Folders
    qemu_img: qemu_img_module.QemuImg
    policy: policy_spec.StoragePolicy
    _: dataclasses.KW_ONLY
    timeout_s: float

    def source(
            self, instance: instance_spec.Instance, *,
            require_quiesce: bool = False) -> Source:
        """Look at a guest's root disk.

        Its format is the recorded one: its bytes are the tenant's.

        :param require_quiesce: the guest's file systems have to be frozen
            when it is up
        :raises AgentUnavailable: they cannot be
        :raises InvalidRequest: it has none of its own
        :raises StorageFailure: there is no record of its format
        """
        guest = self.guests.find(instance)
        folder = self.folders.of(instance)
        path = folder.disk
        target_dev = _target_dev(guest, path)
        format = record.read(folder.disk_info, path)
        if format == _QCOW2:
            _ensure_chain_readable(path)
        live = guest.state().power in reach.UP and (
            not self.guests.is_test_driver())
        if live and require_quiesce:
            # Not only when the copy is there.
            freeze.check(guest)
        return Source(
            guest, path, format,
            self.qemu_img.virtual_size_bytes(path, format), target_dev,
            live=live, require_quiesce=require_quiesce)

    def copy(
            self, source: Source, path: str, progress: ports.Progress,
            undo: undo_module.Undo) -> Copy:
        """Copy a disk to a file that does not exist yet.

        :param undo: gets what ends the copying under a running guest, and
            what closes the copy
        """
        wanted = self.policy.snapshot_format or source.format
        compress = self.policy.snapshot_compression and wanted == _QCOW2
        if not source.live:
            progress.step('copy')
            self.qemu_img.flatten(
                source.path, source.format, path, wanted, compress=compress,
                progress=progress)
            return Copy(_opened(path, undo), wanted,
                        source.virtual_size_bytes)
        between = wanted if wanted in ('raw', _QCOW2) else _QCOW2
        file = self._copy_live(source, path, between, progress, undo)
        if between == wanted and not compress:
            return Copy(file, wanted, source.virtual_size_bytes)
        progress.step('convert')
        converted = f'{path}.{wanted}'
        self.qemu_img.convert(path, between, converted, wanted,
                              compress=compress, progress=progress)
        return Copy(_opened(converted, undo), wanted,
                    source.virtual_size_bytes)

    def _copy_live(
            self, source: Source, path: str, format: str,
            progress: ports.Progress,
            undo: undo_module.Undo) -> typing.BinaryIO:
        progress.step('copy')
        self.qemu_img.create(path, format, source.virtual_size_bytes)
        # Before libvirt gives it to QEMU's user.
        file = _opened(path, undo)
        disk = source.guest.disk(source.target_dev)
        # Registered first: a call that outlives its deadline may start it.
        undo.finally_('end the copying', disk.abort)
        # When the guest goes down, its jobs end without an event of theirs.
        with source.guest.expecting(
                event.BlockJobEvent, event.LifecycleEvent) as news:
            disk.copy(path, format)
            # Each is looked at: it may be of an earlier job, or another disk.
            ready = news.wait(
                lambda change: _is_ready(source, path), self.timeout_s,
                lambda: _report(source, file, progress))
        if not ready:
            raise exception.WaitTimeout(
                awaited='the end of the copying', timeout_s=self.timeout_s)
        progress.step('end the copy')
        with freeze.frozen(
                source.guest, required=source.require_quiesce):
            disk.abort()
        return file


def _is_ready(source: Source, path: str) -> bool:
    job = source.guest.disk(source.target_dev).job()
    if job is None:
        raise exception.StorageFailure(
            reason=f'the copying of disk {source.target_dev} of instance '
            f'{source.guest.uuid} ended before its time: is there room for '
            'the copy?', path=path)
    return job.ready


def _report(
        source: Source, file: typing.BinaryIO,
        progress: ports.Progress) -> None:
    # What QEMU has written, without asking it.
    written_bytes = os.fstat(file.fileno()).st_blocks * _BYTES_PER_BLOCK
    progress.advance(min(written_bytes, source.virtual_size_bytes),
                     source.virtual_size_bytes)


def _ensure_chain_readable(path: str) -> None:
    try:
        for base in backing.chain(path):
            client.ensure_readable(base.path)
    except OSError as error:
        raise exception.StorageFailure(
            reason=f'the disk {error.filename or path} cannot be read: '
            f'{error.strerror}', path=path) from error


def _opened(path: str, undo: undo_module.Undo) -> typing.BinaryIO:
    file = open(path, 'rb')
    undo.finally_('close the copy', file.close)
    return file


def _target_dev(guest: handle.Guest, path: str) -> str:
    model = domain_model.Domain.parse(guest.xml())
    for disk in model.devices.disks:
        if disk.source_file == path and disk.target_dev:
            return disk.target_dev
    raise exception.InvalidRequest(
        reason=f'instance {guest.uuid} has no root disk of its own')
