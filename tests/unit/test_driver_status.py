# SPDX-License-Identifier: Apache-2.0

"""What the driver says of its connection while that comes and goes."""

import time

from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.testing import fake_ports
from tests.unit import test_driver_faults

Breaker = connection_spec.Breaker

wait_until = fake_ports.wait_until


class StatusTest(test_driver_faults.FaultTestCase):

    @property
    def status(self) -> connection_spec.ConnectionStatus:
        return self.driver.connection_status()

    def test_before_anything_was_asked(self) -> None:
        status = self.status

        self.assertEqual('disconnected', status.state)
        self.assertEqual(
            (Breaker.CLOSED, 0, None),
            (status.breaker, status.reconnects, status.lost_for_s))
        self.assertGreaterEqual(status.call_limit, 4)

    def test_a_loss_and_its_end(self) -> None:
        self.driver.init_host('here')
        self.assertIsNone(self.status.lost_for_s)

        self.lose()
        wait_until(lambda: self.status.breaker is Breaker.OPEN,
                   'callers to be refused')
        self.refused(self.driver.get_host_facts)
        self.assertGreaterEqual(self.status.lost_for_s or -1, 0)
        self.assertEqual(0, self.status.reconnects)

        self.hypervisor.accept_connections()
        self.wait_connected()
        status = self.status
        self.assertEqual(
            (Breaker.CLOSED, 1, None),
            (status.breaker, status.reconnects, status.lost_for_s))

    def test_the_age_of_a_state_begins_with_the_state(self) -> None:
        self.driver.init_host('here')
        wait_until(lambda: self.status.state_age_s > 0.2, 'time to pass')

        broken_at = time.monotonic()
        self.hypervisor.break_connections()

        wait_until(lambda: self.status.reconnects == 1, 'another session')
        self.wait_connected()
        age_s = self.status.state_age_s
        self.assertLessEqual(age_s, time.monotonic() - broken_at)

    def test_a_stopped_driver_refuses(self) -> None:
        self.driver.init_host('here')

        self.driver.cleanup_host('here')

        self.assertIs(Breaker.OPEN, self.status.breaker)
