# SPDX-License-Identifier: Apache-2.0

"""When the service is told of a loss, and who does not wait for that."""

import time

from nova_libvirt_driver.testing import fake_ports
from tests.unit import test_driver_faults

wait_until = fake_ports.wait_until

# On a busy machine a connection may take a second to come back.
GRACE_S = 3.0


class GraceTest(test_driver_faults.FaultTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.remake(service_down_grace=GRACE_S)
        self.driver.init_host('here')
        self.assertEqual([True], self.service_state.changes)

    def wait_changes(self, *changes: bool) -> None:
        wait_until(lambda: self.service_state.changes == list(changes),
                   f'the changes {changes}')

    def wait_generation(self, generation: int) -> None:
        wait_until(
            lambda: self.driver.connection_status().generation >= generation
            and self.state == 'connected',
            'a connection')

    def test_a_blip_changes_nothing(self) -> None:
        for number in range(5):
            self.hypervisor.break_connections()
            self.wait_generation(number + 2)
        time.sleep(GRACE_S + 0.5)

        self.assertEqual([True], self.service_state.changes)

    def test_a_loss_that_lasts_disables_and_its_end_enables(self) -> None:
        lost_at = time.monotonic()
        self.lose()
        self.wait_changes(True, False)
        self.assertGreaterEqual(time.monotonic() - lost_at, GRACE_S)

        self.hypervisor.accept_connections()

        self.wait_changes(True, False, True)

    def test_a_loss_soon_after_another_has_a_grace_of_its_own(self) -> None:
        self.lose()
        time.sleep(GRACE_S / 3)
        self.hypervisor.accept_connections()
        self.wait_generation(2)
        lost_at = time.monotonic()
        self.lose()

        self.wait_changes(True, False)

        self.assertGreaterEqual(time.monotonic() - lost_at, GRACE_S)

    def test_a_stopped_driver_says_nothing_more(self) -> None:
        self.lose()
        self.driver.cleanup_host('here')
        time.sleep(GRACE_S + 0.5)

        self.assertEqual([True], self.service_state.changes)

    def test_without_a_connection_before_there_is_no_grace(self) -> None:
        self.driver.cleanup_host('here')
        self.hypervisor.refuse_connections()
        self.remake(service_down_grace=60)
        self.driver.init_host('here')

        wait_until(lambda: self.service_state.enabled is False, 'a disable')


class HangingRecordTest(test_driver_faults.FaultTestCase):

    def test_guests_are_looked_for_again_all_the_same(self) -> None:
        self.service_state = state = test_driver_faults.HangingServiceState()
        self.addCleanup(state.hang.release)
        self.remake()
        self.driver.init_host('here')
        self.assertTrue(state.hang.wait_entered())

        self.hypervisor.break_connections()
        wait_until(lambda: self.driver.connection_status().generation == 2
                   and self.state == 'connected', 'the second connection')
        self.hypervisor.guests.remove(self.guest)

        wait_until(lambda: [one for one in self.listener.events
                            if one.uuid == self.guest.uuid],
                   'word of the guest that vanished')
        self.assertEqual([], self.words())
