# SPDX-License-Identifier: Apache-2.0

"""A daemon that stands still: it takes every byte, and answers none."""

import signal

from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_ports
from tests.faults import base

CALLERS = 50


class HungDaemonTest(base.ConnectionFaultTestCase):

    def hang(self) -> None:
        self.host.kill_daemon(signal.SIGSTOP)

    def test_opening_has_a_deadline(self) -> None:
        self.hang()
        driver = self.make_driver(self.host.uri, connect_timeout=1)

        with base.within(1 + base.MARGIN_S):
            error = self.assertRaises(
                exception.CallTimeout, driver._get_connection)

        self.assertIn('1 s', str(error))
        self.assertEqual(1, driver.connection_status().abandoned_calls)
        self.host.resume_daemon()
        base.wait_until(
            lambda: driver.connection_status().abandoned_calls == 0,
            'the late connection to be closed', timeout_s=base.BACK_S)

    def test_the_service_starts_before_the_daemon_goes_on(self) -> None:
        self.hang()

        with base.within(base.FOUND_S):
            driver = self.connect()

        self.assertIs(False, self.service_state.enabled)
        with base.within(base.MARGIN_S):
            self.assertRaises(
                exception.HypervisorUnavailable, driver.list_instances)
        self.host.resume_daemon()
        self.assert_recovers(driver)
        self.assertEqual(1, len(self.notifier.errors))

    def test_it_is_found_out_while_nobody_calls(self) -> None:
        driver = self.connect()

        self.hang()
        self.wait_disabled()

        self.assertNotEqual(
            base.State.CONNECTED, driver.connection_status().state)
        self.assertIn('no answer', self.service_state.calls[-1][2])
        self.host.resume_daemon()
        self.assert_recovers(driver)
        self.assertEqual([True, False, True], self.service_state.changes)

    def test_fifty_calls_in_flight_all_come_back(self) -> None:
        driver = self.connect()
        self.start_guest('stays')
        for end in (self.host.resume_daemon, self.host.kill_daemon):
            self.hang()

            results = fake_ports.run_threads(
                [driver.list_instances] * (CALLERS - 10)
                + [driver.list_instance_summaries] * 10,
                timeout_s=base.FOUND_S)

            self.assertEqual(
                [exception.HypervisorUnavailable] * CALLERS,
                [base.kind_of(result) for result in results], str(results))
            end()
            self.host.resume_daemon()
            self.assert_recovers(driver, 'stays')
