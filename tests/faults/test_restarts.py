# SPDX-License-Identifier: Apache-2.0

"""A daemon that is killed and started again and again."""

import signal
import threading

from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_ports
from tests.faults import base

RESTARTS = 20
CALLERS = 8
GRACE_S = 30.0
"""Longer than a daemon takes to start on a busy machine."""


class RestartsTest(base.GuestFaultTestCase):

    own_options = {'service_down_grace': GRACE_S}

    def setUp(self) -> None:
        super().setUp()
        self.spec = self.boot_guest('web')
        self.driver.spawn(self.spec)
        self.done = threading.Event()

    def call_on_and_on(self) -> None:
        """Look until the end; only what may happen may happen."""
        while not self.done.is_set():
            try:
                self.assertIn(self.spec.name, self.driver.list_instances())
            except exception.HypervisorUnavailable:
                self.done.wait(0.05)

    def restart_on_and_on(self) -> None:
        try:
            for _ in range(RESTARTS):
                self.host.kill_daemon(signal.SIGKILL)
                self.host.start_daemon()
                self.done.wait(0.5)
        finally:
            self.done.set()

    def test_callers_live_and_the_service_hardly_notices(self) -> None:
        self.wait_console(self.spec, 'web is up')
        before = self.listener.transitions(self.spec.name)

        results = fake_ports.run_threads(
            [self.call_on_and_on] * CALLERS + [self.restart_on_and_on],
            timeout_s=900)

        self.assertEqual([None] * (CALLERS + 1), results)
        self.assert_recovers(self.spec.name)
        self.assertEqual((), self.driver.connection_status().unresponsive)
        self.assertIn(self.service_state.changes,
                      ([True], [True, False, True]))
        # The guest has not noticed: nothing was said of it.
        self.assertEqual(
            before, self.listener.transitions(self.spec.name))
