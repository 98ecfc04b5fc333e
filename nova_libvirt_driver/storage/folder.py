# SPDX-License-Identifier: Apache-2.0

"""The folders of instances; their layout is that of Nova's own driver."""

from collections.abc import Callable
import contextlib
import errno
import functools
import mmap
import os
import shutil
import tempfile

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.storage import failure

_MODE = 0o750

_BLOCK_BYTES = 4096

_NOT_WRITTEN_TO = (errno.EACCES, errno.ENOENT, errno.EPERM, errno.EROFS)
"""How folders answer in which this process makes no disks."""


class _File:
    """The path of a file in an instance's folder."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: 'InstanceFolder', owner: object) -> str:
        return os.path.join(folder.path, self._name)


class InstanceFolder:
    """Names the files of an instance; makes and removes their folder.

    :ivar path: of the folder itself
    :raises InvalidRequest: the uuid is none, so it names no folder
    """

    disk = _File('disk')
    """Root disk."""
    disk_info = _File('disk.info')
    """Record of the disks' formats."""
    config_drive = _File('disk.config')
    """Config drive, of either file system."""
    console_log = _File('console.log')
    """What the guest writes to its serial port."""
    swap = _File('disk.swap')
    """Swap disk."""
    kernel = _File('kernel')
    """Kernel that the hypervisor loads."""
    ramdisk = _File('ramdisk')
    """Initial RAM disk for that kernel."""
    spec = _File('guest.json')
    """Record of what the instance was made from."""
    unrescue_xml = _File('unrescue.xml')
    """XML of the domain as it was before a rescue."""
    rescue_disk = _File('disk.rescue')
    """Disk that a rescued guest starts from."""
    rescue_config_drive = _File('disk.config.rescue')
    """Config drive of a rescued guest."""
    autostart = _File('autostart')
    """Mark of one that is to run by itself."""
    domain_xml = _File('domain.xml')
    """XML of the domain as it was before a migration."""

    def __init__(
            self, instances_path: str, uuid: str, suffix: str = '') -> None:
        if not instance_spec.is_uuid(uuid):
            raise exception.InvalidRequest(
                reason=f'{uuid!r} is not the uuid of an instance')
        self.path = os.path.join(instances_path, uuid + suffix)

    def ephemeral(self, number: int) -> str:
        """Ephemeral disk, counted from 0."""
        return os.path.join(self.path, f'disk.eph{number}')

    def create(self, group_id: int | None = None) -> None:
        """Make the folder; QEMU's group may be let in.

        :raises StorageFailure: there is one already, or it cannot be made
        """
        make(self.path, group_id)

    def remove(self) -> None:
        """Remove the folder and all in it; idempotent.

        :raises StorageFailure: something of it stays
        """
        remove_tree(self.path)

    def remove_empty(self) -> None:
        """Remove the folder if there is nothing in it; idempotent."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path)

    def exists(self) -> bool:
        """Say whether there is something of that name."""
        return os.path.lexists(self.path)

    def changed_at(self) -> float:
        """Return when it, or a file in it, was changed last.

        In seconds since the epoch, 0 when there is none. To copy a file with
        its times, or to give it to another user, is a change.
        """
        try:
            with os.scandir(self.path) as found:
                return max(os.stat(self.path).st_ctime, *(
                    one.stat(follow_symlinks=False).st_ctime
                    for one in found), 0.0)
        except FileNotFoundError:
            return 0.0

    def has_disk(self) -> bool:
        """Say whether the root disk is there."""
        return os.path.exists(self.disk)


def make(path: str, group_id: int | None) -> None:
    """Make a folder; QEMU's group may be let in.

    :raises StorageFailure: there is one already, or it cannot be made
    """
    with failure.naming(f'cannot make the folder {path}',
                        os.path.dirname(path)):
        os.mkdir(path, _MODE)
        try:
            # The process's umask has no say in this.
            os.chmod(path, _MODE)
            let_group_in(path, group_id)
        except BaseException:
            os.rmdir(path)
            raise


def ensure(path: str, group_id: Callable[[], int | None]) -> None:
    """Make a folder, and those that it is in, unless it is there.

    :param group_id: returns the group that is let in; may ask libvirt
    :raises StorageFailure: it cannot be made
    """
    if not os.path.isdir(path):
        with failure.naming(f'cannot make the folder {path}', path):
            # First, since libvirt may be away: a folder that is there is
            # taken to be complete.
            group = group_id()
            os.makedirs(path, mode=_MODE, exist_ok=True)
            let_group_in(path, group)


class Folders:
    """The folders of all instances of this host.

    :param group_id: returns QEMU's group, which has to get at the files
    """

    def __init__(
            self, path: str, group_id: Callable[[], int | None]) -> None:
        self._path = path
        self._group_id = group_id

    def of(self, instance: instance_spec.Instance) -> InstanceFolder:
        """Return the folder of an instance; it need not exist."""
        return InstanceFolder(self._path, instance.uuid)

    def kept(self, instance: instance_spec.Instance) -> InstanceFolder:
        """Return where its files are after a migration that may be reverted.

        As in Nova, which looks for it, too.
        """
        return InstanceFolder(self._path, instance.uuid, '_resize')

    def cache_mode(self) -> str:
        """Return the cache mode that disks in them best have.

        It is ``none``, past the host's cache: else each byte takes memory
        twice, and a live migration may lose writes. A file system that cannot
        do that gets ``writeback``. A folder that is not there yet, or in which
        this process makes no files, counts as able.

        :raises StorageFailure: it cannot be found out now, as when the file
            system is full; the next call tries again
        """
        if not os.path.isdir(self._path):
            return 'none'
        try:
            return 'none' if _is_direct(self._path) else 'writeback'
        except OSError as error:
            if error.errno in _NOT_WRITTEN_TO:
                return 'none'
            raise exception.StorageFailure(
                reason='cannot find out whether disks in it can bypass the '
                f"host's cache: {self._path}: {error.strerror}",
                path=self._path) from error

    def prepare(self) -> None:
        """Make the folder that all of them are in, if need be.

        :raises StorageFailure: it cannot be made
        """
        ensure(self._path, self._group_id)

    def make(self, instance: instance_spec.Instance) -> InstanceFolder:
        """Make the folder of an instance.

        :raises StorageFailure: there is one already, or it cannot be made
        """
        folder = self.of(instance)
        folder.create(self._group_id())
        return folder

    def place(self, marker: str) -> migration_spec.Place:
        """Say where the folders are, and who else sees them.

        :param marker: name of a file that the other host has put beside its
            own
        """
        look_again(self._path)
        return migration_spec.Place(
            instances_path=self._path, is_shared=bool(marker)
            and os.path.exists(os.path.join(
                self._path, os.path.basename(marker))))

    def adopt(self, instance: instance_spec.Instance) -> None:
        """Let QEMU into a folder that another host has made, and no others.

        :raises StorageFailure: it is not there
        """
        path = self.of(instance).path
        # It may have been another one here, with files that are set aside.
        look_again(self._path)
        look_again(path)
        with failure.naming(f'cannot let QEMU into {path}', path):
            let_group_in(path, self._group_id())
            with contextlib.suppress(PermissionError):
                os.chmod(path, _MODE)


def look_again(path: str) -> None:
    """See a folder as it is, whatever this host remembers of it.

    NFS remembers for a minute which files there are and which not, unless the
    folder changes (LP 2152581).
    """
    with contextlib.suppress(OSError):
        os.utime(path)


def let_group_in(path: str, group_id: int | None) -> None:
    """Give a file or folder to a group, when this user may."""
    if group_id is not None:
        with contextlib.suppress(PermissionError):
            os.chown(path, -1, group_id, follow_symlinks=False)


def remove_tree(path: str) -> None:
    """Remove a folder and all in it, and follow no link; idempotent.

    :raises StorageFailure: something of it stays
    """
    with failure.naming(f'cannot remove {path}', path):
        try:
            if os.path.islink(path):
                os.unlink(path)
            else:
                shutil.rmtree(path)
        except FileNotFoundError:
            if os.path.lexists(path):
                # Another one removes it, too: its last files went meanwhile.
                remove_tree(path)


@functools.cache
def _is_direct(folder: str) -> bool:
    """Return the answer of a file system, which is remembered.

    :raises OSError: it has not answered
    """
    # A file without a name: nothing is left behind.
    try:
        descriptor = os.open(
            folder, os.O_TMPFILE | os.O_RDWR | os.O_DIRECT, 0o600)
    except OSError:
        return _is_direct_by_name(folder)
    return _writes(descriptor)


def _is_direct_by_name(folder: str) -> bool:
    """Try a file with a name, as NFS has no others."""
    descriptor, path = tempfile.mkstemp(dir=folder, prefix='.direct-io-')
    os.close(descriptor)
    try:
        return _writes(os.open(path, os.O_RDWR | os.O_DIRECT))
    except OSError as error:
        return _refused(error)
    finally:
        os.unlink(path)


def _writes(descriptor: int) -> bool:
    # Memory of its own page is aligned.
    with mmap.mmap(-1, _BLOCK_BYTES) as block:
        try:
            os.write(descriptor, block)
            return True
        except OSError as error:
            return _refused(error)
        finally:
            os.close(descriptor)


def _refused(error: OSError) -> bool:
    if error.errno != errno.EINVAL:
        raise error
    return False
