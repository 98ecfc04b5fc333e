# SPDX-License-Identifier: Apache-2.0

import time

import libvirt

from nova_libvirt_driver.connection import link
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fixtures
from tests import base
from tests import guests
from tests.unit.guest import handles

TIMEOUT_S = 0.5
OTHER = instance_spec.InstanceRef(
    '00000000-0000-4000-8000-000000000002', 'two')


class GuestTest(base.TestCase):
    """A guest whose QEMU stands still, and one beside it."""

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor = self.useFixture(fixtures.FakeLibvirt()).hypervisor
        self.reached = self.useFixture(guests.GuestsFixture(
            'fake:///', call_timeout_s=TIMEOUT_S,
            connect_timeout_s=TIMEOUT_S))
        for ref in (handles.INSTANCE, OTHER):
            self.hypervisor.add_guest(ref.name, uuid=ref.uuid, owned=True)
        self.guest = self.reached.guests.find(handles.INSTANCE)
        self.hang = self.hypervisor.block('suspend', times=1)
        self.addCleanup(self.hang.release)
        self.assertRaises(exception.GuestUnresponsive, self.guest.pause)

    def test_calls_into_its_monitor_fail_at_once(self) -> None:
        for call in (self.guest.pause, self.guest.inject_nmi,
                     self.guest.save):
            took_s = []
            for _ in range(3):
                started = time.monotonic()
                error = self.assertRaises(exception.GuestUnresponsive, call)
                took_s.append(time.monotonic() - started)
                self.assertIn('the attempt to pause the guest', str(error))

            # The best of some: the machine may be busy.
            self.assertLess(min(took_s), TIMEOUT_S)
        self.assertEqual(1, self.hypervisor.calls['suspend'])

    def test_what_needs_no_monitor_works(self) -> None:
        self.assertIs(instance_spec.PowerState.RUNNING,
                      self.guest.state().power)
        self.assertTrue(self.guest.is_active())
        self.assertIn(handles.UUID, self.guest.xml())

    def test_other_guests_go_on(self) -> None:
        self.reached.guests.find(OTHER).pause()

    def test_it_is_let_out_when_it_answers(self) -> None:
        self.hang.release()

        fake_ports.wait_until(
            lambda: not self.reached.quarantine.uuids(), 'the answer')
        self.guest.resume()

    def test_it_can_be_destroyed(self) -> None:
        self.guest.destroy()

        self.assertEqual((), self.reached.quarantine.uuids())
        self.guest.start()

    def test_a_lost_connection_is_not_its_fault(self) -> None:
        self.hang.release()
        fake_ports.wait_until(
            lambda: not self.reached.quarantine.uuids(), 'the answer')
        hang = self.hypervisor.block('resume')
        self.addCleanup(hang.release)

        def lose() -> None:
            hang.wait_entered()
            self.hypervisor.break_connections()

        def resume() -> None:
            error = self.assertRaises(
                exception.DriverError, self.guest.resume)
            self.assertNotIsInstance(error, exception.GuestUnresponsive)

        fake_ports.run_threads([lose, resume], timeout_s=10)
        self.assertEqual((), self.reached.quarantine.uuids())

    def test_a_daemon_that_lets_nobody_in_is_not_its_fault(self) -> None:
        other = self.reached.guests.find(OTHER)
        # No connection is left that the call could be made on.
        self.reached.channels.close()
        hang = self.hypervisor.block('openAuth')
        self.addCleanup(hang.release)

        error = self.assertRaises(
            exception.HypervisorUnavailable, other.pause)

        self.assertNotIsInstance(error, exception.GuestUnresponsive)
        self.assertEqual((handles.UUID,), self.reached.quarantine.uuids())

    def test_another_job_makes_it_busy(self) -> None:
        self.hypervisor.fail_next('suspend', guests.failure(
            libvirt.VIR_ERR_OPERATION_TIMEOUT, 'cannot acquire lock'))

        self.assertRaises(exception.GuestBusy,
                          self.reached.guests.find(OTHER).pause)


class QuarantineTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.quarantine = link.Quarantine()

    def test_a_visit_that_has_ended_puts_nobody_in(self) -> None:
        visit = link.Visit('pause it')
        self.quarantine.end(visit)

        self.quarantine.add('one', visit)

        self.quarantine.check('one', 'resume it')

    def test_the_first_reason_stays(self) -> None:
        first, second = link.Visit('pause it'), link.Visit('ask it')
        self.quarantine.add('one', first)
        self.quarantine.add('one', second)
        self.quarantine.end(second)

        self.assertRaisesRegex(
            exception.GuestUnresponsive, 'pause it', self.quarantine.check,
            'one', 'resume it')

    def test_one_visit_may_hold_several(self) -> None:
        visit = link.Visit('list them')
        for uuid in ('two', 'one'):
            self.quarantine.add(uuid, visit)
        self.assertEqual(('one', 'two'), self.quarantine.uuids())

        self.quarantine.end(visit)

        self.assertEqual((), self.quarantine.uuids())
