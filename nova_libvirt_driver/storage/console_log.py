# SPDX-License-Identifier: Apache-2.0

"""What guests print to their first serial port, in bounded files.

The bytes are the tenant's: the end of them is passed on as it is.

Where libvirt has no log daemon (``stdio_handler = "file"`` in ``qemu.conf``,
and every embedded hypervisor), QEMU writes ``console.log`` itself, and a
guest can make it as long as it likes. Such a log is rotated here under the
names that virtlogd uses, ``console.log.0`` being the newest of the old ones.

A log that virtlogd writes is left to virtlogd, which rotates it by itself.
"""

from collections.abc import Iterator
import contextlib
import errno
import os
import pathlib
import posix
import stat
import threading

from oslo_log import log as logging

from nova_libvirt_driver.calls import calls as calls_module
from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.privileged import client
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import folder as folder_module

LOG = logging.getLogger(__name__)

MAX_BYTES = 100 * 1024
"""As much of the end of a log is read."""

OLD_LOGS = 3
"""As many as virtlogd keeps by default."""

_INTERVAL_S = 5.0
_STOP_S = 0.5
_LOOK_TIMEOUT_S = 60.0
_PIECE_BYTES = 256 * 1024
_BLOCK_BYTES = 512
_NEW = '.new'
_MODE = 0o600
_PROC = '/proc'
_DAEMON = b'virtlogd'


class ConsoleLogs:
    """Looks at the logs of all instances every few seconds.

    One look costs a ``stat`` for each instance.

    :param max_bytes: length above which a log is rotated, 0 for no limit
    :param calls: runs the look on native threads; not those that libvirt
        needs. A file system that hangs costs one of them.
    :param stop_s: longest wait for the end of a look
    """

    def __init__(
            self, instances_path: str, max_bytes: int,
            calls: calls_module.Calls, *, stop_s: float = _STOP_S) -> None:
        self._path = instances_path
        self._max_bytes = max_bytes
        self._calls = calls
        self._stop_s = stop_s
        self._ended = threading.Event()
        self._thread: runtime.Thread | None = None

    def start(self) -> None:
        """Begin to look, on a thread of its own."""
        self.stop()
        if self._max_bytes:
            self._ended = threading.Event()
            self._thread = runtime.Thread(
                target=self._watch, args=(self._ended,),
                name='console-logs', daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more.

        Waits half a second for a look that is under way, which ends with
        the log that it is at.
        """
        self._ended.set()
        if self._thread is not None:
            self._thread.join(self._stop_s)

    def read(self, instance: instance_spec.Instance) -> bytes:
        """Return the last 100 KiB, older log files included.

        One that is too long by now is rotated first, if it can be.

        :raises ConsoleUnavailable: nothing is recorded
        :raises PrivilegesMissing: this user may not read it
        :raises StorageFailure: it cannot be read
        """
        path = folder_module.InstanceFolder(
            self._path, instance.uuid).console_log
        if self._max_bytes:
            with contextlib.suppress(OSError):
                rotate(path, self._max_bytes)
        try:
            return _read_logs(path)
        except FileNotFoundError as error:
            raise _unavailable(instance, 'nothing is recorded') from error
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise _unavailable(
                    instance, 'its log is not a regular file') from error
            raise exception.StorageFailure(
                reason=f'cannot read {path}: {error.strerror}',
                path=path) from error

    def _watch(self, ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                self._look(ended)
            except Exception:
                LOG.exception('Could not look at the console logs of the '
                              'instances')
            ended.wait(_INTERVAL_S)

    def _look(self, ended: threading.Event) -> None:
        try:
            failed = self._calls.run(
                lambda: self._bound_all(ended), timeout_s=_LOOK_TIMEOUT_S,
                name='looking at the console logs of the instances')
        except (exception.CallTimeout,
                exception.CallBudgetExhausted) as error:
            LOG.warning('The console logs of the instances may grow '
                        'without a limit for now: %s', error)
            return
        for path, failure in failed:
            LOG.debug('The console log %s is too long and cannot be '
                      'rotated: %s', path, failure.strerror)

    def _bound_all(self, ended: threading.Event) -> list[tuple[str, OSError]]:
        # On a native thread, where nothing may be logged.
        failed = []
        for path in _logs(self._path):
            if ended.is_set():
                break
            try:
                rotate(path, self._max_bytes)
            except FileNotFoundError:
                continue
            except OSError as error:
                failed.append((path, error))
        return failed


def rotate(path: str, max_bytes: int, *, proc: str = _PROC) -> bool:
    """Rotate a log that is longer than *max_bytes*; say whether it was.

    It is copied to ``PATH.0``, the last twice *max_bytes* of it, as it may
    have grown a little beyond its limit by now. Then it is emptied in place:
    QEMU goes on writing to the same file, and at its new end, because
    libvirt has it opened for appending (seen with 9.0). What QEMU writes in
    the instant between the end of the copy and that is lost. When this is
    killed before that, the end of the log is there twice.

    Does nothing while another process rotates the log, or when it is
    virtlogd's, not a regular file, or has a second name.

    :param proc: where the processes of this host are to be seen
    :raises FileNotFoundError: there is no log
    :raises OSError: it may not be written, or there is no room
    """
    if not _is_too_long(os.lstat(path), max_bytes):
        return False
    # Not os.open, see filesystem/records.py.
    descriptor = posix.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
                            | os.O_CLOEXEC)
    try:
        if not locking.lock_open(descriptor):
            return False
        status = os.fstat(descriptor)
        if not _is_too_long(status, max_bytes) or (
                _is_of_daemon(status, proc)):
            return False
        _rotate(path, descriptor, max(0, status.st_size - 2 * max_bytes))
    finally:
        os.close(descriptor)
    return True


def _is_too_long(status: os.stat_result, max_bytes: int) -> bool:
    # A writer that does not append leaves a hole in front of its place.
    used_bytes = min(status.st_size, status.st_blocks * _BLOCK_BYTES)
    return (stat.S_ISREG(status.st_mode) and status.st_nlink == 1
            and used_bytes > max_bytes)


def _rotate(path: str, descriptor: int, offset: int) -> None:
    new = path + _NEW
    pathlib.Path(new).unlink(missing_ok=True)
    # Makes room for the copy.
    pathlib.Path(f'{path}.{OLD_LOGS - 1}').unlink(missing_ok=True)
    target = posix.open(
        new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        offset = _copy(descriptor, offset, target)
        for number in reversed(range(OLD_LOGS - 1)):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f'{path}.{number}', f'{path}.{number + 1}')
        os.replace(new, f'{path}.0')
        # Again, for what has been written meanwhile, and empty it at once.
        _copy(descriptor, offset, target)
        os.ftruncate(descriptor, 0)
    except BaseException:
        pathlib.Path(new).unlink(missing_ok=True)
        raise
    finally:
        os.close(target)


def _copy(source: int, offset: int, target: int) -> int:
    """Copy what follows an offset; return the offset of the end."""
    while data := os.pread(source, _PIECE_BYTES, offset):
        written = os.write(target, data)
        offset += written
    return offset


def _is_of_daemon(log: os.stat_result, proc: str) -> bool:
    """Say whether virtlogd has a log open."""
    return any(os.path.samestat(log, found)
               for folder in _daemons(proc) for found in _open_files(folder))


def _daemons(proc: str) -> Iterator[str]:
    for name in os.listdir(proc):
        if name.isdecimal():
            folder = os.path.join(proc, name)
            with contextlib.suppress(OSError), open(
                    os.path.join(folder, 'comm'), 'rb') as file:
                if file.read(64).strip() == _DAEMON:
                    yield folder


def _open_files(folder: str) -> Iterator[os.stat_result]:
    with contextlib.suppress(OSError), os.scandir(
            os.path.join(folder, 'fd')) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                yield entry.stat()


def _logs(instances_path: str) -> list[str]:
    try:
        names = os.listdir(instances_path)
    except OSError:
        return []
    return [folder_module.InstanceFolder(instances_path, name).console_log
            for name in names if instance_spec.is_uuid(name)]


def _unavailable(
        instance: instance_spec.Instance,
        reason: str) -> exception.ConsoleUnavailable:
    return exception.ConsoleUnavailable(
        instance=instance.uuid, kind='recorded', reason=reason)


def _read_logs(path: str) -> bytes:
    """Return the end of a log and, when it is short, of older ones."""
    newest, seen = _read_end(path, -1, MAX_BYTES)
    parts = [newest]
    missing = MAX_BYTES - len(newest)
    for number in range(OLD_LOGS):
        if missing <= 0:
            break
        with contextlib.suppress(OSError):
            part, identity = _read_end(path, number, missing)
            # The log may have been rotated since it was read.
            if identity != seen:
                parts.append(part)
                missing -= len(part)
    return b''.join(reversed(parts))


def _read_end(
        path: str, number: int, limit: int
) -> tuple[bytes, tuple[int, int]]:
    """Return the end of a log, and what tells its file from others.

    :param number: -1 for the newest log, else the suffix of an older one
    """
    name = f'{path}.{number}' if number >= 0 else path
    try:
        # NONBLOCK: a FIFO would be waited for.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW
                             | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        return client.read_log_end(path, number, limit)
    with open(descriptor, 'rb') as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.ENXIO, 'not a regular file')
        file.seek(max(0, status.st_size - limit))
        return file.read(limit), (status.st_dev, status.st_ino)
