# SPDX-License-Identifier: Apache-2.0

"""Calls that only look, on the connection that everybody shares."""

import time

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fixtures
from tests import base
from tests import guests

TIMEOUT_S = 0.5


class LookTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor = self.useFixture(fixtures.FakeLibvirt()).hypervisor
        reached = self.useFixture(guests.GuestsFixture(
            'fake:///', look_timeout_s=TIMEOUT_S))
        self.link, self.calls = reached.link, reached.calls

    def look(self) -> str:
        return self.link.look(
            'ask for the name', lambda connection: connection.getHostname())

    def test_answer_comes_from_libvirt(self) -> None:
        self.assertEqual('fake-host', self.look())

    def test_error_is_one_of_ours(self) -> None:
        self.hypervisor.fail_next('getHostname', guests.failure(
            libvirt.VIR_ERR_INTERNAL_ERROR, 'no name'))

        error = self.assertRaises(exception.LibvirtFailure, self.look)

        self.assertIn('ask for the name', str(error))
        self.assertEqual('fake-host', self.look())

    def test_answer_that_does_not_come_has_a_deadline(self) -> None:
        with self.hypervisor.block('getHostname'):
            started = time.monotonic()
            self.assertRaises(exception.CallTimeout, self.look)
            # The connection is taken: the next one does not even get in.
            error = self.assertRaises(exception.CallTimeout, self.look)
            took_s = time.monotonic() - started

        self.assertIn('waiting for ask for the name', str(error))
        self.assertTrue(2 * TIMEOUT_S <= took_s < 2 * TIMEOUT_S + 5, took_s)
        self.assertEqual(1, self.hypervisor.calls['getHostname'])

    def test_late_answer_lets_others_in(self) -> None:
        with self.hypervisor.block('getHostname'):
            self.assertRaises(exception.CallTimeout, self.look)

        self.assertEqual('fake-host', fake_ports.wait_until(
            self._look_or_none, 'a turn'))
        self.assertEqual(1, len(self.hypervisor.connections))

    def test_without_a_thread_the_turn_is_given_back(self) -> None:
        with fake_fault.Hang() as hang:
            for _ in range(self.calls.budget.limit):
                self.assertRaises(
                    exception.CallTimeout, self.calls.run, hang.hang,
                    name='hanging', timeout_s=0.01)
            self.assertRaises(exception.CallBudgetExhausted, self.look)

        self.assertEqual('fake-host', fake_ports.wait_until(
            self._look_or_none, 'a thread'))

    def _look_or_none(self) -> str | None:
        try:
            return self.look()
        except (exception.CallBudgetExhausted, exception.CallTimeout):
            return None
