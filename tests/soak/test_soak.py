# SPDX-License-Identifier: Apache-2.0

"""Days of a host in less than an hour: nothing in the process may grow.

Run by ``tools/test --soak``. ``NOVA_LIBVIRT_SOAK_STARTS`` and
``NOVA_LIBVIRT_SOAK_RECONNECTS`` say how many there are. What the process holds
is printed on the way.
"""

from collections.abc import Callable
import logging
import os
import sys

from nova_libvirt_driver.testing import leaks
from tests.faults import base

STARTS = int(os.environ.get('NOVA_LIBVIRT_SOAK_STARTS', '2000'))
RECONNECTS = int(os.environ.get('NOVA_LIBVIRT_SOAK_RECONNECTS', '1000'))
ROUND_S = 60.0
SPAWN_EVERY, KILL_EVERY = 10, 20

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


class StartsTest(base.GuestFaultTestCase):

    def test_starts_and_stops(self) -> None:
        logging.disable(logging.INFO)
        self.addCleanup(logging.disable, logging.NOTSET)
        spec = self.boot_guest('web')
        self.driver.spawn(spec)

        def stop_and_start(number: int) -> None:
            if number % SPAWN_EVERY:
                self.driver.power_off(spec)
                self.driver.power_on(spec)
            else:
                self.driver.destroy(spec)
                self.driver.spawn(spec)
            base.wait_until(
                lambda: self.listener.transitions('web')[-2:]
                == ['stopped', 'started'], 'both events', timeout_s=ROUND_S)
            self.listener.events.clear()

        base.wait_until(lambda: self.listener.events, 'its start')
        Course('start', STARTS, lambda: self.leaks.cut_handshakes).run(
            stop_and_start)

        self.assert_recovers('web')
        self.assertEqual(
            1, self.driver.connection_status().generation)


class ReconnectsTest(base.ConnectionFaultTestCase):

    def test_reconnects(self) -> None:
        with self.relayed() as link:
            driver = self.connect(link.uri)
            self.addCleanup(driver.cleanup_host, 'here')

            def reconnect(number: int) -> None:
                generation = driver.connection_status().generation
                if number % KILL_EVERY:
                    link.cut()
                else:
                    self.host.kill_daemon()
                    self.restart_daemon()
                base.wait_until(
                    lambda: driver.connection_status().generation
                    > generation, 'a new connection', timeout_s=ROUND_S)
                self.assert_recovers(driver)
                self.service_state.calls[:-1] = []
                self.notifier.errors.clear()

            Course('reconnect', RECONNECTS,
                   lambda: self.leaks.cut_handshakes).run(reconnect)
