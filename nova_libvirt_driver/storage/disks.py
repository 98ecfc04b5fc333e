# SPDX-License-Identifier: Apache-2.0

"""The disks of an instance: made, recorded, and made larger.

Each disk is in the record before it is there. When it cannot be made,
neither stays.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
import re
import shutil

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage import failure
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import image_fetch
from nova_libvirt_driver.storage import qemu_img as qemu_img_module
from nova_libvirt_driver.storage import record
from nova_libvirt_driver.storage import tool as tool_module

LOG = logging.getLogger(__name__)

_MIB = 1 << 20
_RAW, _QCOW2 = policy_spec.ImageBackend.RAW, policy_spec.ImageBackend.QCOW2
# Program and its options, that for the label last; longest label.
_FILE_SYSTEMS = {
    'vfat': (('mkfs.vfat', '-n'), 11),
    'ext2': (('mkfs.ext4', '-q', '-F', '-t', 'ext2', '-L'), 16),
    'ext3': (('mkfs.ext4', '-q', '-F', '-t', 'ext3', '-L'), 16),
    'ext4': (('mkfs.ext4', '-q', '-F', '-t', 'ext4', '-L'), 16),
    'xfs': (('mkfs.xfs', '-q', '-L'), 12),
    'ntfs': (('mkfs.ntfs', '-q', '-Q', '-F', '-L'), 32),
    'swap': (('mkswap', '-f', '-L'), 15)}
_LABEL = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.-]*')


class Disks:
    """Makes disks in the folders of instances."""

    def __init__(
            self, policy: policy_spec.StoragePolicy,
            qemu_img: qemu_img_module.QemuImg,
            tool: tool_module.Tool) -> None:
        self._policy = policy
        self._qemu_img = qemu_img
        self._tool = tool

    def make_root(
            self, folder: folder_module.InstanceFolder,
            cached: image_spec.CachedImage, size_bytes: int = 0, *,
            rescue: bool = False, image_id: str = '',
            progress: ports.Progress = ports.NullProgress()) -> None:
        """Make the root disk from an image; raw ones are copied.

        :param size_bytes: 0 for the image's size
        :param rescue: it is the disk that a rescued guest starts from
        :param image_id: for messages
        :raises FlavorTooSmall: the image's disk is larger than that
        :raises ImageRefused: without a size, it is larger than the host's
            limit
        :raises StorageFailure: it cannot be made
        """
        image_fetch.check_size(
            image_id or os.path.basename(cached.path),
            cached.virtual_size_bytes, size_bytes or None,
            self._policy.image_max_gib)
        size_bytes = size_bytes or cached.virtual_size_bytes
        path = folder.rescue_disk if rescue else folder.disk
        with _recorded(folder, path, self._policy.backend):
            if self._policy.backend is _QCOW2:
                self._qemu_img.create_overlay(
                    path, cached.path, cached.format, size_bytes)
            else:
                self._qemu_img.convert(
                    cached.path, cached.format, path, _RAW, progress=progress)
            with _removed_on_failure(path):
                if size_bytes > self._qemu_img.virtual_size_bytes(
                        path, self._policy.backend):
                    self._qemu_img.resize(path, _RAW, size_bytes)
                if not rescue:
                    self._take_room(path, size_bytes)

    def make_blank(
            self, path: str, folder: folder_module.InstanceFolder,
            size_bytes: int) -> None:
        """Make an empty disk.

        :raises StorageFailure: it cannot be made
        """
        with _recorded(folder, path, self._policy.backend):
            self._qemu_img.create(path, self._policy.backend, size_bytes)
            with _removed_on_failure(path):
                self._take_room(path, size_bytes)

    def make_empty(self, path: str, format: str, size_bytes: int) -> None:
        """Make a disk of a given format, for bytes that come later.

        :raises StorageFailure: it cannot be made
        """
        self._qemu_img.create(path, format, size_bytes)

    def make_overlay(
            self, path: str, cached: image_spec.CachedImage,
            size_bytes: int) -> None:
        """Make a qcow2 disk over an image, for bytes that come later.

        :raises StorageFailure: it cannot be made
        """
        self._qemu_img.create_overlay(
            path, cached.path, cached.format, size_bytes)

    def make_ephemeral(
            self, folder: folder_module.InstanceFolder, number: int,
            wanted: disk_spec.LocalDisk) -> None:
        """Make a disk with a file system and without partitions.

        :param number: counts from 0
        :raises InvalidRequest: there is no such file system or label
        :raises StorageFailure: it cannot be made
        """
        self._make_formatted(
            folder, folder.ephemeral(number), wanted,
            wanted.filesystem or self._policy.ephemeral_filesystem,
            wanted.label or f'ephemeral{number}')

    def make_swap(
            self, folder: folder_module.InstanceFolder,
            wanted: disk_spec.LocalDisk) -> None:
        """Make a disk that is ready to be swap space.

        :raises InvalidRequest: there can be no such label
        :raises StorageFailure: it cannot be made
        """
        self._make_formatted(
            folder, folder.swap, wanted, 'swap', wanted.label or 'swap')

    def resize(self, path: str, format: str, size_bytes: int) -> None:
        """Make a disk larger; nothing to do when it has that size.

        :raises InvalidRequest: it is larger already
        :raises StorageFailure: it cannot be made larger; it may be in use
        """
        before = self._qemu_img.virtual_size_bytes(path, format)
        if size_bytes < before:
            raise exception.InvalidRequest(
                reason=f'{path} has {image_fetch.gib(before)} and cannot '
                f'become smaller ({image_fetch.gib(size_bytes)})')
        if size_bytes > before:
            self._qemu_img.resize(path, format, size_bytes)

    def fit(
            self, folder: folder_module.InstanceFolder,
            storage: disk_spec.StorageSpec) -> None:
        """Give the local disks of a guest at least the sizes it asks for.

        None becomes smaller. Ephemeral disks and swap that are not there are
        made.

        :raises StorageFailure: that fails; may be repeated
        """
        formats = record.read_all(folder.disk_info)
        wanted = {folder.disk: storage.root_gib << 30} if (
            storage.root_device is disk_spec.DiskDevice.DISK) else {}
        for number, ephemeral in enumerate(storage.ephemerals):
            wanted[folder.ephemeral(number)] = ephemeral.size_mib * _MIB
            if not os.path.exists(folder.ephemeral(number)):
                self.make_ephemeral(folder, number, ephemeral)
        for path, size_bytes in wanted.items():
            if path in formats and size_bytes > (
                    self._qemu_img.virtual_size_bytes(path, formats[path])):
                self._qemu_img.resize(path, formats[path], size_bytes)
        if storage.swap is not None and not os.path.exists(folder.swap):
            self.make_swap(folder, storage.swap)

    def copy(
            self, source: str, target: str,
            watch: Callable[[], object]) -> None:
        """Copy a file that no guest uses, with its holes, or a folder.

        :param watch: called about once a second; what it raises ends it
        :raises StorageFailure: it cannot be copied; the target is gone
        """
        with failure.naming(f'cannot copy {source} to {target}', target):
            if os.path.isdir(source):
                shutil.copytree(source, target)
                return
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
            with _removed_on_failure(target):
                self._tool.run(['cp', '--', source, target],
                               reads=[source], writes=[target],
                               cpu_s=self._policy.tool_convert_cpu_s,
                               watch=watch)
                shutil.copymode(source, target)

    def _make_formatted(
            self, folder: folder_module.InstanceFolder, path: str,
            wanted: disk_spec.LocalDisk, file_system: str,
            label: str) -> None:
        line = _format_line(file_system, label)
        backend = self._policy.backend
        is_raw = backend == policy_spec.ImageBackend.RAW
        with _recorded(folder, path, str(backend)):
            # The programs know no other format than raw.
            bare = path if is_raw else f'{path}.raw'
            self._qemu_img.create(bare, _RAW, wanted.size_mib * _MIB)
            with _removed_on_failure(bare):
                self._tool.run([*line, bare], writes=[bare],
                               cpu_s=self._policy.tool_convert_cpu_s)
                if not is_raw:
                    self._qemu_img.convert(
                        bare, _RAW, path, str(backend),
                        progress=ports.NullProgress())
                    os.unlink(bare)
            with _removed_on_failure(path):
                self._take_room(path, wanted.size_mib * _MIB)

    def _take_room(self, path: str, size_bytes: int) -> None:
        """Let a new disk take all its room, if the host wants that.

        :raises StorageFailure: there is not so much, or the file system
            cannot do it
        """
        if self._policy.preallocate:
            # It need not be as long as the room it takes.
            self._tool.run(
                ['fallocate', '--keep-size', f'--length={size_bytes}', path],
                writes=[path], cpu_s=self._policy.tool_convert_cpu_s)


def _format_line(file_system: str, label: str) -> list[str]:
    if file_system not in _FILE_SYSTEMS:
        raise exception.InvalidRequest(
            reason=f'there is no file system {file_system!r} for disks, only '
            + ', '.join(_FILE_SYSTEMS))
    options, longest = _FILE_SYSTEMS[file_system]
    if len(label) > longest or not _LABEL.fullmatch(label):
        raise exception.InvalidRequest(
            reason=f'a {file_system} file system cannot have the label '
            f'{label!r}: at most {longest} letters, digits, _ . -')
    return [*options, label]


@contextlib.contextmanager
def _recorded(
        folder: folder_module.InstanceFolder, path: str,
        format: str) -> Iterator[None]:
    # What exists keeps its record.
    if os.path.lexists(path):
        raise exception.StorageFailure(
            reason=f'{path} exists already', path=path)
    record.write(folder.disk_info, path, str(format))
    try:
        yield
    except BaseException:
        try:
            record.forget(folder.disk_info, path)
        except exception.StorageFailure as error:
            # It does no harm: a disk created there replaces it.
            LOG.warning('Could not create %s, and could not remove its '
                        'format from the record: %s', path, error)
        raise


@contextlib.contextmanager
def _removed_on_failure(path: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        atomic.discard(path)
        raise
