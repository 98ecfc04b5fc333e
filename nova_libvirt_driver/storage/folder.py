# SPDX-License-Identifier: Apache-2.0

"""The folder of one instance; its layout is that of Nova's own driver."""

from collections.abc import Iterator
import contextlib
import os
import shutil

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec

_MODE = 0o750


class InstanceFolder:
    """Names the files of an instance; makes and removes their folder.

    :raises InvalidRequest: the uuid is none, so it names no folder
    """

    def __init__(self, instances_path: str, uuid: str) -> None:
        if not instance_spec.is_uuid(uuid):
            raise exception.InvalidRequest(
                reason=f'{uuid!r} is no uuid of an instance')
        self._path = os.path.join(instances_path, uuid)

    @property
    def path(self) -> str:
        """The folder itself."""
        return self._path

    @property
    def disk(self) -> str:
        """Root disk."""
        return self._file('disk')

    @property
    def disk_info(self) -> str:
        """Record of the disks' formats."""
        return self._file('disk.info')

    @property
    def config_drive(self) -> str:
        """Config drive, of either file system."""
        return self._file('disk.config')

    @property
    def console_log(self) -> str:
        """What the guest writes to its serial port."""
        return self._file('console.log')

    @property
    def swap(self) -> str:
        """Swap disk."""
        return self._file('disk.swap')

    @property
    def kernel(self) -> str:
        """Kernel that the hypervisor loads."""
        return self._file('kernel')

    @property
    def ramdisk(self) -> str:
        """Initial RAM disk for that kernel."""
        return self._file('ramdisk')

    @property
    def spec(self) -> str:
        """Record of what the instance was made from."""
        return self._file('guest.json')

    @property
    def unrescue_xml(self) -> str:
        """XML of the domain as it was before a rescue."""
        return self._file('unrescue.xml')

    @property
    def rescue_disk(self) -> str:
        """Disk that a rescued guest starts from."""
        return self._file('disk.rescue')

    @property
    def rescue_config_drive(self) -> str:
        """Config drive of a rescued guest."""
        return self._file('disk.config.rescue')

    def ephemeral(self, number: int) -> str:
        """Ephemeral disk, counted from 0."""
        return self._file(f'disk.eph{number}')

    def create(self, group_id: int | None = None) -> None:
        """Make the folder; QEMU's group may be let in.

        :raises StorageFailure: there is one already, or it cannot be made
        """
        try:
            os.mkdir(self._path, _MODE)
            with _removed_on_failure(self._path):
                # The process's umask has no say in this.
                os.chmod(self._path, _MODE)
                let_group_in(self._path, group_id)
        except OSError as error:
            raise exception.StorageFailure(
                reason=f'cannot make the folder {self._path}: '
                f'{error.strerror}',
                path=os.path.dirname(self._path)) from error

    def remove(self) -> None:
        """Remove the folder and all in it; idempotent.

        :raises StorageFailure: something of it stays
        """
        remove_tree(self._path)

    def exists(self) -> bool:
        """Say whether there is something of that name."""
        return os.path.lexists(self._path)

    def _file(self, name: str) -> str:
        return os.path.join(self._path, name)


def let_group_in(path: str, group_id: int | None) -> None:
    """Give a file or folder to a group, when this user may."""
    if group_id is not None:
        with contextlib.suppress(PermissionError):
            os.chown(path, -1, group_id, follow_symlinks=False)


def remove_tree(path: str) -> None:
    """Remove a folder and all in it, and follow no link; idempotent.

    :raises StorageFailure: something of it stays
    """
    try:
        if os.path.islink(path):
            os.unlink(path)
        else:
            shutil.rmtree(path)
    except FileNotFoundError:
        if os.path.lexists(path):
            # Another one removes it, too: its last files went meanwhile.
            remove_tree(path)
    except OSError as error:
        raise exception.StorageFailure(
            reason=f'cannot remove {path}: {error.strerror}',
            path=path) from error


@contextlib.contextmanager
def _removed_on_failure(path: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.rmdir(path)
        raise
