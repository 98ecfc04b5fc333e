# SPDX-License-Identifier: Apache-2.0

"""What this process holds, to tell that a fault has left nothing in it.

Native threads, open files, connections of the binding, callbacks registered
with libvirt, and memory.
"""

import collections
import contextlib
import dataclasses
import gc
import os
import time
from typing import Any
from typing import Self

import fixtures
import libvirt
import psutil

from nova_libvirt_driver.calls import calls
from nova_libvirt_driver.connection import opener

SETTLE_S = 60.0
"""How long what was let go of may take to go."""
RSS_ALLOWANCE_MIB = 64
"""What one test may add to the memory of the process for good.

Arenas that the C library keeps for threads that have ended, and modules that
are imported late. Leaks of a few bytes are found by many rounds.
"""

_LOOK_S = 0.1
_MIB = 1 << 20
_DAEMON_IS_AWAY = 'Failed to connect socket'
# What the binding gives libvirt along with a callback.
_CALLBACK_KEYS = {'cb', 'conn', 'opaque'}


@dataclasses.dataclass(frozen=True, slots=True)
class Level:
    """What this process held at one moment."""

    threads: int
    """Native ones; in an eventlet process, not the green ones."""
    files: tuple[str, ...]
    """What each open file is."""
    connections: int
    callbacks: int
    rss_mib: float

    @classmethod
    def take(cls) -> Self:
        """Look; takes a moment, and collects garbage first."""
        gc.collect()
        connections = callbacks = 0
        for item in gc.get_objects():
            if type(item) is libvirt.virConnect:
                connections += 1
            elif type(item) is dict and item.keys() == _CALLBACK_KEYS:
                callbacks += 1
        return cls(
            len(os.listdir('/proc/self/task')), _open_files(), connections,
            callbacks, psutil.Process().memory_info().rss / _MIB)

    def excess(self, later: 'Level', *, cut_handshakes: int = 0,
               rss_allowance_mib: float = RSS_ALLOWANCE_MIB) -> list[str]:
        """Return what there is more of later, in words.

        :param cut_handshakes: see :class:`LeakCheck`
        """
        came = collections.Counter(later.files)
        came.subtract(self.files)
        more = len(later.files) - len(self.files) - cut_handshakes
        found = [f'{name}: {getattr(self, name)}, then {getattr(later, name)}'
                 for name in ('threads', 'connections', 'callbacks')
                 if getattr(later, name) > getattr(self, name)]
        if more > 0:
            found.append(f'{more} open files more, of: '
                         f'{", ".join((+came).elements())}')
        if later.rss_mib > self.rss_mib + rss_allowance_mib:
            found.append(f'memory: {self.rss_mib:.0f} MiB, then '
                         f'{later.rss_mib:.0f} MiB')
        return found

    def wait_back(
            self, *, cut_handshakes: int = 0,
            rss_allowance_mib: float = RSS_ALLOWANCE_MIB) -> None:
        """Wait until there is no more than at this moment.

        :raises AssertionError: there is, and it is named
        """
        deadline = time.monotonic() + SETTLE_S
        while True:
            excess = self.excess(
                Level.take(), cut_handshakes=cut_handshakes,
                rss_allowance_mib=rss_allowance_mib)
            if not excess:
                return
            if time.monotonic() > deadline:
                raise AssertionError('left in the process: '
                                     + '; '.join(excess))
            time.sleep(_LOOK_S)


class LeakCheck(fixtures.Fixture):
    """Fails a test that leaves this process with more than before.

    To be used before whatever makes something, so that it looks last. What
    serves the whole process is made first, and does not count.

    :param uri: of a daemon that answers now
    :ivar cut_handshakes: attempts to connect that ended after the daemon had
        accepted them. When that happens before the first message is out,
        libvirt 9.0 says that the client socket is closed, and forgets to
        close it: 168 of 169 times with nothing but the binding. So many
        files may stay.
    """

    def __init__(
            self, uri: str, *,
            rss_allowance_mib: float = RSS_ALLOWANCE_MIB) -> None:
        super().__init__()
        self._uri = uri
        self._rss_allowance_mib = rss_allowance_mib
        self.cut_handshakes = 0

    def _setUp(self) -> None:
        opener.ensure_loop()
        calls.make(host='', limit=1).run(
            libvirt.open(self._uri).close, name='closing', timeout_s=SETTLE_S)
        self.before = Level.take()
        self.useFixture(fixtures.MonkeyPatch(
            'libvirt.openAuth', self._counting(libvirt.openAuth)))
        self.addCleanup(self.verify)

    def _counting(self, function: Any) -> Any:
        def open_auth(*args: Any) -> Any:
            try:
                return function(*args)
            except libvirt.libvirtError as error:
                if _DAEMON_IS_AWAY not in str(error):
                    self.cut_handshakes += 1
                raise

        return open_auth

    def verify(self) -> None:
        """Wait until nothing is left.

        :raises AssertionError: something is, which is named
        """
        self.before.wait_back(
            cut_handshakes=self.cut_handshakes,
            rss_allowance_mib=self._rss_allowance_mib)


def _open_files() -> tuple[str, ...]:
    found = []
    for number in os.listdir('/proc/self/fd'):
        # The one that lists them is gone by now.
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f'/proc/self/fd/{number}'))
    return tuple(sorted(found))
