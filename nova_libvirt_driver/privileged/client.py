# SPDX-License-Identifier: Apache-2.0

"""The way to the privileged functions for a service that is not root.

The privileged process is asked only about files for which the service's own
rights do not suffice, and it is started by the first of them. As root, the
same functions run in this process. A start that failed is not repeated for a
while: each may leave a line in the log of sudo.
"""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import pwd
import threading
import time
import types

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.privileged import names

LOG = logging.getLogger(__name__)

_RETRY_S = 60.0
# Those of the context, which is not loaded just to look.
_NEEDED = (0, 2)


def ensure_readable(path: str) -> None:
    """See to it that this user can read a disk.

    :raises PrivilegesMissing: it may not
    """
    if os.access(path, os.R_OK) or not os.path.lexists(path):
        return
    place = names.of_disk(path)
    if place is None:
        raise _missing('read', path, 'it is not a disk of an instance')
    with _asking('read', path):
        from nova_libvirt_driver.privileged import functions
        functions.let_read(*place)


def ensure_writable(path: str) -> None:
    """See to it that this user can write to the disk of a stopped guest.

    :raises PrivilegesMissing: it may not
    """
    if os.access(path, os.R_OK | os.W_OK) or not os.path.lexists(path):
        return
    place = names.of_disk(path)
    if place is None or not names.is_instance(place[0]):
        raise _missing('write to', path, 'it is not a disk of an instance')
    with _asking('write to', path):
        from nova_libvirt_driver.privileged import functions
        functions.give_back(*place)


def read_log_end(
        path: str, number: int, limit_bytes: int
) -> tuple[bytes, tuple[int, int]]:
    """Return the end of a console log that this user may not read.

    :param path: of the newest log of the instance
    :param number: -1 for that, else the suffix of an older one
    :returns: the bytes, and what tells the file from others
    :raises PrivilegesMissing: it cannot be read
    :raises FileNotFoundError: there is none
    """
    instance = os.path.basename(os.path.dirname(path))
    with _asking('read', path):
        from nova_libvirt_driver.privileged import functions
        data, identity = functions.read_log_end(
            instance, number, limit_bytes)
    # A tuple comes through the socket as a list.
    return data, (identity[0], identity[1])


def start() -> None:
    """Have the privileged process, or find that there is none to be had.

    :raises PrivilegesMissing: it cannot be started
    """
    _gate.enter('read files of', "QEMU's user")


def use_sudo() -> None:
    """Have the privileged process started by sudo.

    For the front doors of this package. Nova has a way of its own.
    """
    _gate.sudo = True


def separate() -> None:
    """Move the rights that this process was started with out of it.

    For a service whose user gets the capabilities from its service manager:
    a process is forked that keeps them, and this one, which handles images
    and talks to others, gives them up. Nothing happens without them, or as
    root.

    :raises PrivilegesMissing: the forked process does not answer
    """
    if os.geteuid() == 0 or not _has_capabilities():
        return
    from nova_libvirt_driver.privileged import context
    from oslo_privsep import daemon
    try:
        context.fork()
    except (OSError, daemon.FailedToDropPrivileges) as error:
        raise _missing('read files of', "QEMU's user",
                       _one_line(error)) from error


def user_name() -> str:
    """Return the name of the user of this process."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


class _Gate:
    """Starts the privileged process once it is needed.

    :ivar sudo: start it by sudo
    """

    def __init__(self) -> None:
        self.sudo = False
        self._lock = threading.Lock()
        self._retry_at = time.monotonic()
        self._reason = ''

    def enter(self, tried: str, path: str) -> None:
        """See to it that the functions can be called.

        :raises PrivilegesMissing: they cannot
        """
        from nova_libvirt_driver.privileged import context
        with self._lock:
            if os.geteuid() == 0:
                context.CONTEXT.set_client_mode(False)
                return
            channel = context.CONTEXT.channel
            if channel is not None and channel.running:
                return
            if time.monotonic() >= self._retry_at:
                self._start(context)
            if self._reason:
                raise _missing(tried, path, self._reason)

    def _start(self, context: types.ModuleType) -> None:
        from oslo_privsep import daemon
        if self.sudo:
            context.use_sudo()
        context.CONTEXT.stop()
        self._reason = ''
        try:
            context.CONTEXT.start()
        except (OSError, daemon.FailedToDropPrivileges) as error:
            self._reason = _one_line(error)
            self._retry_at = time.monotonic() + _RETRY_S
            LOG.warning(
                'The privileged process cannot be started: %s; %s.',
                self._reason, _missing('', '', self._reason).next_step)


_gate = _Gate()


@contextlib.contextmanager
def _asking(tried: str, path: str) -> Iterator[None]:
    _gate.enter(tried, path)
    from oslo_privsep import comm
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, comm.PrivsepTimeout) as error:
        raise _missing(tried, path, _one_line(error)) from error


def _missing(
        tried: str, path: str, reason: str) -> exception.PrivilegesMissing:
    return exception.PrivilegesMissing(
        user=user_name(), tried=tried, path=path, reason=reason)


def _one_line(error: BaseException) -> str:
    text = getattr(error, 'strerror', None) or str(error)
    return ' '.join(text.split()) or type(error).__name__


def _has_capabilities() -> bool:
    """Say whether this process has the capabilities that are needed."""
    status = pathlib.Path('/proc/self/status').read_text()
    fields = dict(line.split(':\t', 1) for line in status.splitlines())
    have = int(fields['CapPrm'], 16)
    return all(have >> number & 1 for number in _NEEDED)
