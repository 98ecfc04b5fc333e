# SPDX-License-Identifier: Apache-2.0

"""The same done again and again: nothing in this process may grow by it."""

from collections.abc import Callable
import sys

from nova_libvirt_driver.testing import leaks
from tests.faults import base

ROUND_S = 60.0

RSS_ALLOWANCE_MIB = 12.0
"""What may come after the first tenth.

The arenas that the C library keeps for threads that have ended come and go by
some 4 MiB, and what the test logs stays: below 1 KiB for each round. One kind
of object that leaked, of 8 KiB with all that hangs on it, would be 16 MiB in
2,000 rounds.
"""


class Course:
    """Does something again and again, and looks at the process meanwhile.

    :param name: what is done, for the printed lines
    :param cut_handshakes: see :class:`leaks.LeakCheck`
    """

    def __init__(self, name: str, count: int,
                 cut_handshakes: Callable[[], int]) -> None:
        self._name = name
        self._count = count
        self._cut_handshakes = cut_handshakes

    def run(self, do: Callable[[int], object]) -> None:
        """Do it; fails when there is more at the end than after a tenth."""
        tenth = max(1, self._count // 10)
        before = None
        for number in range(1, self._count + 1):
            with base.within(ROUND_S):
                do(number)
            if number % tenth == 0:
                level = leaks.Level.take()
                self._show(number, level)
                before = before or level
        assert before is not None
        before.wait_back(
            rss_allowance_mib=RSS_ALLOWANCE_MIB,
            cut_handshakes=self._cut_handshakes())

    def _show(self, number: int, level: leaks.Level) -> None:
        print(f'{self._name} {number}/{self._count}: {level.rss_mib:.1f} MiB,'
              f' {level.threads} threads, {len(level.files)} files, '
              f'{level.connections} connections, {level.callbacks} callbacks',
              file=sys.stderr, flush=True)
