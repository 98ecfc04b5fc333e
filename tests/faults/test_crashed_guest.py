# SPDX-License-Identifier: Apache-2.0

"""One QEMU that crashes, beside others that do not."""

import os
import signal

from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import instance as instance_spec
from tests.faults import base

PowerState = instance_spec.PowerState
START_S = 5 + base.MARGIN_S


class CrashedGuestTest(base.GuestFaultTestCase):

    def test_it_is_told_of_and_starts_again(self) -> None:
        crashing, other = self.boot_guest('crashing'), self.boot_guest('other')
        for spec in (crashing, other):
            self.driver.spawn(spec)
            self.wait_console(spec, f'{spec.name} is up')
        pid = self.host.guest_pid('crashing')
        assert pid is not None

        os.kill(pid, signal.SIGSEGV)

        base.wait_until(
            lambda: self.listener.transitions('crashing')[-1:]
            == [event.Transition.CRASHED], 'its crash',
            timeout_s=base.EVENT_S)
        with base.within(base.MARGIN_S):
            self.assertIs(PowerState.SHUTDOWN, self.state(crashing))
            self.driver.pause(other)
            self.driver.unpause(other)
        self.assertEqual((), self.driver.connection_status().unresponsive)
        with base.within(START_S):
            self.driver.power_on(crashing)
        self.assertIs(PowerState.RUNNING, self.state(crashing))
        self.assertEqual(
            ['started', 'crashed', 'started'],
            self.listener.transitions('crashing'))
        self.assert_recovers('crashing', 'other')
