# SPDX-License-Identifier: Apache-2.0

"""The end of what a guest printed to its first serial port.

The bytes are the tenant's: they are bounded, and passed on as they are.
"""

from collections.abc import Callable
import contextlib
import errno
import os
import stat

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.spec import instance as instance_spec

MAX_BYTES = 100 * 1024

# As many as libvirt's log daemon keeps.
_OLD_LOGS = 3


class ConsoleOutput:
    """Reads console logs; changes nothing.

    :param log_path: says where the log of an instance is
    """

    def __init__(
            self, guests: guests_module.Guests,
            log_path: Callable[[instance_spec.Instance], str]) -> None:
        self._guests = guests
        self._log_path = log_path

    def get_console_output(self, instance: instance_spec.Instance) -> bytes:
        """Return the last 100 KiB, older log files included.

        :raises ConsoleUnavailable: nothing is recorded
        :raises StorageFailure: it cannot be read
        """
        self._guests.find(instance)
        path = self._log_path(instance)
        try:
            return _read_logs(path)
        except FileNotFoundError as error:
            raise _unavailable(instance, 'nothing is recorded') from error
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise _unavailable(
                    instance, 'its log is no regular file') from error
            raise exception.StorageFailure(
                reason=f'cannot read {path}: {error.strerror}',
                path=path) from error


def _unavailable(
        instance: instance_spec.Instance,
        reason: str) -> exception.ConsoleUnavailable:
    return exception.ConsoleUnavailable(
        instance=instance.uuid, kind='recorded', reason=reason)


def _read_logs(path: str) -> bytes:
    """Return the end of a log and, when it is short, of older ones."""
    newest, seen = _read_end(path, MAX_BYTES)
    parts = [newest]
    missing = MAX_BYTES - len(newest)
    for number in range(_OLD_LOGS):
        if missing <= 0:
            break
        with contextlib.suppress(OSError):
            part, identity = _read_end(f'{path}.{number}', missing)
            # The log may have been rotated since it was read.
            if identity != seen:
                parts.append(part)
                missing -= len(part)
    return b''.join(reversed(parts))


def _read_end(path: str, limit: int) -> tuple[bytes, tuple[int, int]]:
    """Return the end of a file, and what tells it from others."""
    # NONBLOCK: a FIFO would be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                         | os.O_CLOEXEC)
    with open(descriptor, 'rb') as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.ENXIO, 'not a regular file')
        file.seek(max(0, status.st_size - limit))
        return file.read(limit), (status.st_dev, status.st_ino)
