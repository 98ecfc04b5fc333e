# SPDX-License-Identifier: Apache-2.0

"""A guest that is killed while its daemon is, or is not there."""

import os
import signal

from nova_libvirt_driver.spec import event
from tests.faults import base

ROUNDS = 5


class BothKilledTest(base.ConnectionFaultTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.driver = self.connect()
        self.addCleanup(lambda: vars(self).pop('driver'))

    def guest(self, name: str) -> int:
        self.start_guest(name)
        base.wait_until(lambda: self.listener.transitions(name),
                        'the start', timeout_s=base.EVENT_S)
        pid = self.host.guest_pid(name)
        assert pid is not None
        return pid

    def stop_of(self, name: str) -> event.LifecycleEvent:
        """Return the only event of a guest after its start."""
        base.wait_until(
            lambda: len(self.listener.transitions(name)) > 1, 'the stop',
            timeout_s=base.BACK_S + base.EVENT_S)
        self.assert_recovers(self.driver)
        [_, stop] = [item for item in self.listener.events
                     if item.name == name]
        self.assertIn(stop.transition, (
            event.Transition.STOPPED, event.Transition.CRASHED))
        return stop

    def test_a_stop_during_the_outage_is_told_once(self) -> None:
        pid = self.guest('doomed')

        self.host.kill_daemon()
        self.wait_disabled()
        os.kill(pid, signal.SIGKILL)
        self.restart_daemon()

        self.assertTrue(self.stop_of('doomed').synthesized)

    def test_a_stop_at_the_same_moment_is_told_once(self) -> None:
        for number in range(ROUNDS):
            name = f'doomed-{number}'
            pid = self.guest(name)

            # The daemon may have told of it, or not, before it died.
            os.kill(pid, signal.SIGKILL)
            self.host.kill_daemon()
            self.restart_daemon()

            self.stop_of(name)
