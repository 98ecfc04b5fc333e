# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.operations.steps import shutdown
from nova_libvirt_driver import ports
from nova_libvirt_driver.testing import fake_libvirt
from tests import guests
from tests.unit.operations import verbs

PROGRESS = ports.NullProgress()


class Cancelled(ports.NullProgress):
    """Is told to end the wait."""

    def advance(self, done: int, total: int) -> None:
        raise exception.WrongState(
            tried='go on', instance='one', state='being deleted')


class ShutdownTest(verbs.VerbTestCase):

    def stop(self, guest: fake_libvirt.Guest) -> None:
        """Let it be down, and say so to those who are connected."""
        guest.state = libvirt.VIR_DOMAIN_SHUTOFF
        self.hypervisor.emit(
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, guest,
            libvirt.VIR_DOMAIN_EVENT_STOPPED,
            libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN)

    def asked(self) -> int:
        return sum(self.hypervisor.calls.get(method, 0)
                   for method in ('shutdown', 'shutdownFlags'))

    def test_guest_that_obeys_is_down_at_once(self) -> None:
        self.add_guest()

        self.assertTrue(shutdown.run(self.find(), 60, 10, PROGRESS))

        # Before it would be asked again.
        self.assertLess(self.clock.now_s, 10)
        self.assertEqual(1, self.asked())
        # Its end was heard of, and looked at once.
        self.assertEqual(1, self.hypervisor.calls['isActive'])

    def test_guest_that_was_started_again_is_not_down(self) -> None:
        added = self.add_guest(obeys=False)

        def restart() -> None:
            self.stop(added)
            added.state = libvirt.VIR_DOMAIN_RUNNING

        self.clock.at(3, restart)

        self.assertFalse(shutdown.run(self.find(), 20, 0, PROGRESS))

    def test_guest_that_does_not_obey_is_asked_again(self) -> None:
        self.add_guest(obeys=False)

        self.assertFalse(shutdown.run(self.find(), 60, 10, PROGRESS))

        self.assertAlmostEqual(60, self.clock.now_s)
        self.assertEqual(6, self.asked())
        # An agent may have said yes, and done nothing.
        self.assertEqual(1, self.hypervisor.calls['shutdown'])

    def test_guest_that_does_not_answer_is_not_waited_for(self) -> None:
        self.add_guest()
        self.hypervisor.fail_next('shutdown', guests.failure(
            libvirt.VIR_ERR_OPERATION_TIMEOUT, 'cannot acquire lock'))

        self.assertFalse(shutdown.run(self.find(), 60, 10, PROGRESS))

        self.assertEqual(0.0, self.clock.now_s)

    def test_without_an_interval_it_is_asked_once(self) -> None:
        self.add_guest(obeys=False)

        self.assertFalse(shutdown.run(self.find(), 60, 0, PROGRESS))

        self.assertAlmostEqual(60, self.clock.now_s)
        self.assertEqual(1, self.asked())

    def test_guest_that_takes_its_time_is_waited_for(self) -> None:
        added = self.add_guest(obeys=False)
        self.clock.at(33, lambda: self.stop(added))

        self.assertTrue(shutdown.run(self.find(), 60, 10, PROGRESS))

        self.assertLess(self.clock.now_s, 40)

    def test_guest_that_goes_away_is_down(self) -> None:
        added = self.add_guest(obeys=False)
        self.clock.at(3, lambda: self.hypervisor.remove_guest(added))

        self.assertTrue(shutdown.run(self.find(), 60, 10, PROGRESS))

    def test_paused_guest_cannot_be_asked(self) -> None:
        self.add_guest(state=libvirt.VIR_DOMAIN_PAUSED)

        self.assertFalse(shutdown.run(self.find(), 60, 10, PROGRESS))

        self.assertEqual((0.0, 0), (self.clock.now_s, self.asked()))

    def test_a_failure_to_ask_is_no_failure(self) -> None:
        self.add_guest()
        self.hypervisor.fail_next('shutdown', guests.failure(
            libvirt.VIR_ERR_INTERNAL_ERROR))

        self.assertFalse(shutdown.run(self.find(), 60, 10, PROGRESS))

        self.assertIn('Cannot ask the guest', self.log.output)

    def test_driver_that_knows_no_button_is_asked_as_before(self) -> None:
        self.add_guest(obeys=False)
        self.hypervisor.fail_next('shutdownFlags', guests.failure(
            libvirt.VIR_ERR_INVALID_ARG, 'unsupported flags (0x1) in f'))

        self.assertFalse(shutdown.run(self.find(), 20, 10, PROGRESS))

        self.assertEqual(2, self.hypervisor.calls['shutdown'])

    def test_a_lost_connection_is_told(self) -> None:
        self.add_guest()
        guest = self.find()
        self.hypervisor.fail_next('shutdown', guests.failure(
            libvirt.VIR_ERR_INTERNAL_ERROR, domain=libvirt.VIR_FROM_RPC))

        self.assertRaises(exception.HypervisorUnavailable,
                          shutdown.run, guest, 60, 10, PROGRESS)

    def stay_away(self) -> None:
        self.hypervisor.refuse_connections()
        self.hypervisor.break_connections()

    def test_a_connection_lost_meanwhile_and_got_back_is_no_matter(
            self) -> None:
        added = self.add_guest(obeys=False)
        self.clock.at(3, self.hypervisor.break_connections)
        self.clock.at(25, self.hypervisor.break_connections)
        self.clock.at(33, lambda: self.stop(added))

        self.assertTrue(shutdown.run(self.find(), 60, 10, PROGRESS))

        self.assertLess(self.clock.now_s, 40)
        self.assertEqual(4, self.asked())

    def test_one_that_is_lost_when_it_is_asked_again_is_none(self) -> None:
        added = self.add_guest(obeys=False)
        self.clock.at(9, lambda: self.hypervisor.fail_next(
            'state', guests.failure(
                libvirt.VIR_ERR_INTERNAL_ERROR,
                domain=libvirt.VIR_FROM_RPC)))
        self.clock.at(15, lambda: self.stop(added))

        self.assertTrue(shutdown.run(self.find(), 60, 10, PROGRESS))

        self.assertEqual(1, self.asked())

    def test_one_that_cannot_be_asked_again_may_obey_yet(self) -> None:
        added = self.add_guest(obeys=False)
        self.clock.at(9, lambda: self.hypervisor.fail_next(
            'shutdownFlags', guests.failure(
                libvirt.VIR_ERR_OPERATION_TIMEOUT, 'cannot acquire lock')))
        self.clock.at(15, lambda: self.stop(added))

        self.assertTrue(shutdown.run(self.find(), 60, 10, PROGRESS))

        self.assertLess(self.clock.now_s, 20)

    def test_one_that_stays_away_is_told_when_the_time_is_over(
            self) -> None:
        self.add_guest(obeys=False)
        self.clock.at(3, self.stay_away)

        self.assertRaises(exception.HypervisorUnavailable,
                          shutdown.run, self.find(), 60, 10, PROGRESS)

        self.assertAlmostEqual(60, self.clock.now_s)

    def test_wait_can_be_ended(self) -> None:
        self.add_guest(obeys=False)

        self.assertRaises(exception.WrongState, shutdown.run,
                          self.find(), 60, 10, Cancelled())
