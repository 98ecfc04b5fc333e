# SPDX-License-Identifier: Apache-2.0

"""The Unix socket that tells each who connects how the driver is.

A file of a process that was killed is replaced, that of a living one is
not: processes that start look at it one after the other, under a lock. Only
the owner and the group of the process may connect.
"""

from collections.abc import Callable
import contextlib
import errno
import os
import socket
import stat

from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.monitoring import listener as listener_module

MODE = 0o660

_BACKLOG = 256
_LOCK_S = 1.0
_STOP_S = 1.0


class StatusSocket:
    """Serves one path.

    :param answer: returns the answer; asks nothing that may hang
    """

    def __init__(self, path: str, answer: Callable[[], bytes]) -> None:
        self._path = path
        self._answer = answer
        self._listener: listener_module.Listener | None = None
        self._identity: tuple[int, int] | None = None

    def start(self) -> None:
        """Answer from now on.

        :raises OSError: the socket cannot be made, or another process
            answers there
        :raises RuntimeError: the process has no thread left
        """
        listener = listener_module.Listener(
            _bound(self._path),
            lambda sent: self._answer(),
            'status-socket')
        self._identity = _identity(self._path)
        try:
            listener.start()
        except RuntimeError:
            self._remove()
            raise
        self._listener = listener

    def stop(self) -> None:
        """Remove the socket; takes at most a second."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._remove()
            listener.stop(_STOP_S)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            # Somebody may have removed it, and another taken the place.
            if _identity(self._path) == self._identity:
                os.unlink(self._path)


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _bound(path: str) -> socket.socket:
    folder, name = os.path.split(path)
    with locking.held(
            locking.beside(folder or '.', f'{name}.lock'), _LOCK_S):
        _make_room(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Before it has a name, so that it is never open to others.
            os.fchmod(listening.fileno(), MODE)
            listening.bind(path)
            # Again, without the umask.
            os.chmod(path, MODE)
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
        return listening


def _make_room(path: str) -> None:
    """Remove what a killed process has left.

    :raises OSError: it is something else, or somebody answers there
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, 'there is a file, and no socket')
    if _is_served(path):
        raise OSError(errno.EADDRINUSE, 'another process serves it')
    os.unlink(path)


def _is_served(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(_LOCK_S)
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            return False
        except (BlockingIOError, TimeoutError):
            # So many wait there that one more finds no room.
            return True
    return True
