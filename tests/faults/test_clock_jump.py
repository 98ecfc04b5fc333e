# SPDX-License-Identifier: Apache-2.0

"""A clock of the day that is set while something waits.

It is set again and again, so that none of its readings fits another. Only what
this process reads is set; libvirt's own clock is not.
"""

import signal
import time

import fixtures

from tests.faults import base

JUMPS_S = (-3600.0, +7200.0)


class ClockJumpTest(base.ConnectionFaultTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.jump_s = self.shift_s = 0.0
        self.real_time = time.time
        self.useFixture(fixtures.MonkeyPatch('time.time', self.read_clock))

    def read_clock(self) -> float:
        self.shift_s += self.jump_s
        return self.real_time() + self.shift_s

    def test_neither_reconnect_nor_events_stall(self) -> None:
        driver = self.connect(service_down_grace=1)
        for number, jump_s in enumerate(JUMPS_S):
            name = f'guest-{number}'
            self.start_guest(name)
            self.host.kill_daemon()
            base.wait_until(lambda: driver.connection_status().state
                            is not base.State.CONNECTED, 'the loss',
                            timeout_s=base.FOUND_S)

            self.jump_s = jump_s
            self.wait_disabled()
            self.restart_daemon()

            self.assert_recovers(driver, name)
            self.host.virsh('suspend', name)
            self.host.virsh('resume', name)
            self.host.virsh('destroy', name)
            expected = ['started', 'paused', 'resumed', 'stopped']
            base.wait_until(
                lambda: self.listener.transitions(name) == expected,
                f'{expected}', timeout_s=base.EVENT_S)

    def test_a_hung_daemon_is_found_all_the_same(self) -> None:
        driver = self.connect()
        self.host.kill_daemon(signal.SIGSTOP)

        self.jump_s = JUMPS_S[0]
        self.wait_disabled()

        self.host.resume_daemon()
        self.assert_recovers(driver)
