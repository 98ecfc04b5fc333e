# SPDX-License-Identifier: Apache-2.0

"""What the supervisor once did wrong in time, on a clock of the test's."""

import fixtures
import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import connection as connection_spec
from tests import base
from tests import supervised

_State = connection_spec.ConnectionState


class SupervisorTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.FakeLogger())
        self.world = self.useFixture(
            supervised.World(0, keepalive=True))
        self.clock = self.world.runtime
        self.world.start()

    def lose(self) -> None:
        """Lose the connection for long."""
        self.world.hypervisor.refuse_connections()
        self.world.hypervisor.break_connections()
        self.clock.advance(100)
        self.assertEqual(_State.BROKEN, self.world.link.current.state)

    def attempts(self) -> int:
        """Return how many attempts are made in 200 seconds."""
        before = len(self.world.attempts)
        self.clock.advance(200)
        return len(self.world.attempts) - before

    def test_renewing_in_an_outage_adds_no_attempts(self) -> None:
        self.lose()
        before = self.attempts()

        for _ in range(10):
            self.assertRaises(exception.HypervisorUnavailable,
                              self.world.link.attempts.renew)
            self.clock.advance(1)

        self.assertAlmostEqual(before, self.attempts(), delta=1)

    def test_caller_behind_a_failed_attempt_makes_no_other(self) -> None:
        with self.world.hypervisor.block('openAuth'):
            for job in (self.world.link.attempts.renew,
                        self.world.link.connection):
                self.clock.spawn('caller', lambda: self.assertRaises(
                    exception.HypervisorUnavailable, job))
                self.clock.run()
            self.assertEqual(2, len(self.world.attempts))
            self.world.hypervisor.refuse_connections()
        self.clock.run()

        self.assertEqual(2, len(self.world.attempts))
        self.clock.advance(1)
        self.assertEqual(3, len(self.world.attempts))

    def test_record_that_was_not_written_is_written_later(self) -> None:
        record = self.world.record
        self.lose()
        self.assertTrue(record.content.driver_reason)
        record.failures = 3
        self.world.hypervisor.accept_connections()

        self.clock.advance(15)
        self.assertEqual(_State.CONNECTED, self.world.link.current.state)
        self.assertTrue(record.content.driver_reason)
        self.clock.advance(30)

        self.assertEqual('', record.content.driver_reason)
        words = len(record.words)
        self.clock.advance(1000)
        self.assertEqual(words, len(record.words))

    def test_a_record_that_hangs_holds_up_nobody_else(self) -> None:
        self.lose()
        self.world.record.delay_s = 1000.0
        guest = self.world.hypervisor.add_guest(
            'guest', uuid='1', state=libvirt.VIR_DOMAIN_RUNNING)
        before = list(self.world.connected_at_s)
        self.world.hypervisor.accept_connections()
        self.clock.advance(20)
        self.assertEqual(len(before) + 1, len(self.world.connected_at_s))
        self.assertTrue(self.world.record.content.driver_reason)

        # The daemon finds it dead, and sends no event.
        guest.state, guest.id = libvirt.VIR_DOMAIN_SHUTOFF, -1
        self.clock.advance(40)

        self.assertEqual(
            ['started', 'stopped'],
            [one.transition.value for one in self.world.listener.events])

    def test_an_event_is_of_the_session_that_reports_it(self) -> None:
        self.assertEqual(3, self.generation_of(3))

    def test_one_of_no_session_is_of_the_present_one(self) -> None:
        self.world.hypervisor.break_connections()
        self.clock.advance(10)
        self.assertEqual(2, self.world.link.current.generation)

        self.assertEqual(2, self.generation_of(object()))

    def generation_of(self, opaque: object) -> int:
        """Return the generation of an event that libvirt reports."""
        self.world.hypervisor.add_guest('guest')
        connection = self.world.link.connection()
        self.world.link.attempts.receive(
            connection.lookupByName('guest'),
            libvirt.VIR_DOMAIN_EVENT_STOPPED, 0, opaque)
        return int(self.world.inbox.get().generation)
