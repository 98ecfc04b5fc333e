# SPDX-License-Identifier: Apache-2.0

"""Opens files below the folder of the instances, and nothing else.

The way there is walked by handle, one component after the other, and
follows no link. A file is opened only once it is known to be a regular one
without other names, and to belong to root, to QEMU's user or to the
service: so neither a guest nor another user of the host can direct a
privileged process to a file of their choice.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import errno
import os
import pwd
import stat

from oslo_config import cfg

from nova_libvirt_driver import conf

_ROOT_UID = 0
_FOLDER_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file that was checked, open for reading."""

    descriptor: int
    status: os.stat_result
    service: pwd.struct_passwd
    """The user of the service, who owns the folder."""
    qemu_uids: frozenset[int]


@contextlib.contextmanager
def opened(folder: str, name: str) -> Iterator[File]:
    """Open a file for reading; the caller has checked both names.

    :param folder: relative to the folder of the instances
    :raises OSError: it is not there, or not one to be opened
    """
    with contextlib.ExitStack() as stack:
        parent = _open(stack, _instances_path(), _FOLDER_FLAGS)
        for word in folder.split('/'):
            parent = _open(stack, word, _FOLDER_FLAGS | os.O_NOFOLLOW, parent)
        service = _owner(os.fstat(parent))
        handle = _open(stack, name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC,
                       parent)
        qemu_uids = _qemu_uids()
        _check(os.fstat(handle), qemu_uids | {service.pw_uid, _ROOT_UID})
        # The same file, whatever has the name by now.
        descriptor = _open(stack, f'/proc/self/fd/{handle}',
                           os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        yield File(descriptor, os.fstat(descriptor), service, qemu_uids)


def _open(
        stack: contextlib.ExitStack, path: str, flags: int,
        parent: int | None = None) -> int:
    descriptor = os.open(path, flags, dir_fd=parent)
    stack.callback(os.close, descriptor)
    return descriptor


def _instances_path() -> str:
    conf.register_opts(cfg.CONF)
    path = str(cfg.CONF.instances_path)
    if not os.path.isabs(path):
        raise refusal(f'instances_path {path} is not absolute')
    return path


def _qemu_uids() -> frozenset[int]:
    uids = set()
    for name in cfg.CONF.nova_libvirt_driver.qemu_users:
        with contextlib.suppress(KeyError):
            uids.add(pwd.getpwnam(name).pw_uid)
    return frozenset(uids)


def _owner(status: os.stat_result) -> pwd.struct_passwd:
    if status.st_mode & stat.S_IWOTH:
        raise refusal('every user can write to its folder')
    try:
        return pwd.getpwuid(status.st_uid)
    except KeyError:
        raise refusal(f'its folder belongs to the unknown user '
                      f'{status.st_uid}') from None


def _check(status: os.stat_result, owners: frozenset[int]) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise refusal('it is not a regular file')
    if status.st_nlink != 1:
        raise refusal('it has a second name')
    if status.st_uid not in owners:
        raise refusal(f'it belongs to user {status.st_uid}, who is neither '
                      'root nor among qemu_users')


def refusal(reason: str) -> PermissionError:
    """Return the error for what is not to be done."""
    return PermissionError(errno.EPERM, reason)
