# SPDX-License-Identifier: Apache-2.0

"""Guests that a daemon has lost without a word."""

import libvirt

from nova_libvirt_driver.connection import attempts
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import router
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import instance
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fixtures
from tests import base
from tests import guests
from tests.unit.events import test_registry

State = instance.PowerState
Transition = event.Transition
happened, report = test_registry.happened, test_registry.report
wait_until = fake_ports.wait_until

UUID = test_registry.UUID


class ConfirmTest(test_registry.RegistryTestCase):
    """One guest that runs, and what a later listing says of it."""

    def setUp(self) -> None:
        super().setUp()
        self.registry.compare([report(State.RUNNING, domain_id=1)], 1)
        self.before = self.registry.guests()

    def confirm(self, *reports: decode.Report) -> list[str]:
        return test_registry.transitions(
            self.registry.confirm(self.before, reports, 1))

    def test_one_that_is_gone_has_stopped(self) -> None:
        self.assertEqual(['stopped'], self.confirm())
        self.assertIs(State.SHUTDOWN, self.state())
        self.assertEqual([], self.confirm())

    def test_one_that_is_off_has_come_to_its_end(self) -> None:
        self.assertEqual(['crashed'], self.confirm(report(
            State.SHUTDOWN, reason=libvirt.VIR_DOMAIN_SHUTOFF_FAILED)))

    def test_its_own_event_may_come_yet_and_is_none(self) -> None:
        self.confirm()

        self.assertEqual([], self.apply(happened(Transition.STOPPED)))
        self.assertEqual(['started'], self.apply(
            happened(Transition.STARTED, domain_id=2)))

    def test_one_that_is_up_or_shuts_down_is_left(self) -> None:
        for state in (State.RUNNING, State.PAUSED, State.NOSTATE):
            self.assertEqual([], self.confirm(report(state, domain_id=1)))
        self.assertEqual([], self.confirm(
            report(State.SHUTDOWN, domain_id=1)))

    def test_one_that_was_heard_of_since_is_left(self) -> None:
        self.apply(happened(Transition.STOPPED),
                   happened(Transition.STARTED, domain_id=2))

        self.assertEqual([], self.confirm())
        self.assertIs(State.RUNNING, self.state())


class RecheckTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor = self.useFixture(fixtures.FakeLibvirt()).hypervisor
        self.guest = self.hypervisor.add_guest('guest')
        self.reached = self.useFixture(guests.GuestsFixture('fake:///'))
        self.listener = fake_ports.RecordingListener()
        self.router = router.Router(self.listener)
        self.recheck = attempts.Recheck(
            self.reached.link.current, self.router,
            lambda: self.reached.link.look('look', decode.reports),
            delays_s=(0.05, 0.1))
        self.addCleanup(self.recheck.stop)

    def connect(self) -> None:
        """Have a connection whose daemon says that the guest runs."""
        self.reached.link.connection()
        self.router.synchronize(
            [report(State.RUNNING, uuid=self.guest.uuid, name='guest')],
            self.reached.link.current.generation)

    def test_a_guest_that_vanishes_without_an_event_is_told_of(self) -> None:
        self.connect()
        self.recheck.start()
        self.hypervisor.guests.clear()

        self.recheck.wake()

        wait_until(lambda: self.listener.events, 'the stop')
        [stop] = self.listener.events
        self.assertEqual(('guest', Transition.STOPPED, True),
                         (stop.name, stop.transition, stop.synthesized))

    def test_nobody_looks_before_the_start_or_after_the_end(self) -> None:
        self.connect()
        self.recheck.wake()
        self.recheck.start()
        self.recheck.wake()
        self.recheck.stop()
        self.hypervisor.guests.clear()

        self.recheck.wake()

        self.assertEqual([], self.listener.events)

    def test_a_connection_is_looked_at_as_often_as_planned(self) -> None:
        self.connect()
        self.recheck.start()
        before = self.hypervisor.calls.get('getAllDomainStats', 0)

        for _ in range(5):
            self.recheck.wake()

        wait_until(lambda: self.hypervisor.calls.get(
            'getAllDomainStats', 0) == before + 2, 'both looks')
        self.assertEqual([], self.listener.events)
