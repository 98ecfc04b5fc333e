# SPDX-License-Identifier: Apache-2.0

"""When the compute service is told of a loss, on a clock of the test's."""

from nova_libvirt_driver.connection import announcer
from nova_libvirt_driver.connection import herald
from nova_libvirt_driver.testing import stepped
from tests import base

GRACE_S = 5.0


class AnnouncerTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.clock = stepped.Stepped()
        self.addCleanup(self.clock.close)
        self.is_connected = False
        self.told: list[tuple[float, bool]] = []
        self.announcer = announcer.Announcer(
            herald.Herald(runtime=self.clock),
            lambda enabled: self.told.append(
                (self.clock.monotonic(), enabled)),
            lambda: self.is_connected, grace_s=GRACE_S, runtime=self.clock)

    def test_a_loss_that_lasts_is_told_when_its_grace_is_over(self) -> None:
        self.announcer.lost()
        self.announcer.outcome(failures=1)
        self.clock.advance(2)
        self.announcer.outcome(failures=2)
        self.clock.advance(98)

        self.assertEqual([(GRACE_S, False)], self.told)
        self.assertEqual(100, self.announcer.lost_for_s)

    def test_one_that_is_over_before_is_not(self) -> None:
        self.announcer.lost()
        self.announcer.outcome(failures=1)
        self.clock.advance(2)

        self.is_connected = True
        self.announcer.settled()
        self.announcer.outcome(failures=0)
        self.clock.advance(100)

        self.assertEqual({True}, {enabled for _, enabled in self.told})
        self.assertIsNone(self.announcer.lost_for_s)

    def test_without_a_connection_before_there_is_no_grace(self) -> None:
        self.announcer.outcome(failures=1)

        self.assertEqual([(0, False)], self.told)
