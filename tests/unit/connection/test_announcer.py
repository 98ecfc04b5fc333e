# SPDX-License-Identifier: Apache-2.0

"""When the compute service is told of a loss, on a clock of the test's."""

from nova_libvirt_driver.calls import turn as turn_module
from nova_libvirt_driver.connection import announcer as announcer_module
from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import stepped
from tests import base

GRACE_S = 5.0


class AnnouncerTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.clock = stepped.Stepped()
        self.addCleanup(self.clock.close)
        self.current = session_module.Current(self.clock.monotonic)
        self.told: list[tuple[float, bool]] = []
        self.announcer = announcer_module.Announcer(
            announcer_module.Messenger(runtime=self.clock),
            lambda enabled: self.told.append(
                (self.clock.monotonic(), enabled)),
            self.current, grace_s=GRACE_S)

    def connect(self) -> None:
        connection = fake_libvirt.FakeConnection(
            fake_libvirt.FakeHypervisor(), 'fake:///system')
        self.current.take(session_module.Session(
            connection, connection,
            turn_module.Turn(host='here', timeout_s=5), generation=1))

    def lose(self) -> None:
        """Lose a session that was there."""
        self.connect()
        self.current.lose(exception.HypervisorUnavailable(
            host='here', reason='it broke'), is_outage=True)

    def test_a_loss_that_lasts_is_told_when_its_grace_is_over(self) -> None:
        self.lose()
        self.announcer.outcome(failures=1)
        self.clock.advance(2)
        self.announcer.outcome(failures=2)
        self.clock.advance(98)

        self.assertEqual([(GRACE_S, False)], self.told)
        self.assertEqual(100, self.current.lost_for_s)

    def test_one_that_is_over_before_is_not(self) -> None:
        self.lose()
        self.announcer.outcome(failures=1)
        self.clock.advance(2)

        self.connect()
        self.current.settle()
        self.announcer.outcome(failures=0)
        self.clock.advance(100)

        self.assertEqual({True}, {enabled for _, enabled in self.told})
        self.assertIsNone(self.current.lost_for_s)

    def test_without_a_connection_before_there_is_no_grace(self) -> None:
        self.announcer.outcome(failures=1)

        self.assertEqual([(0, False)], self.told)
