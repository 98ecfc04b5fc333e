# SPDX-License-Identifier: Apache-2.0

"""The periodic audit: what it keeps, and how often it complains."""

import datetime
import queue

import fixtures

from nova_libvirt_driver.compute import audit
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_driver
from tests import base

NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)
UNAVAILABLE = exception.HypervisorUnavailable


class AuditTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.driver = fake_driver.FakeDriver()
        self.audit = audit.PeriodicAudit(
            self.driver, 0.01, clock=lambda: NOON)

    def test_keeps_what_it_has_found_and_when(self) -> None:
        found = self.audit.run_once()

        self.assertEqual(found, self.audit.last)
        self.assertEqual('2026-01-02T12:00:00+00:00', found.at)
        self.assertEqual((fake_driver.GUEST,), found.instances)
        self.assertEqual('', found.error)

    def test_a_failure_keeps_what_was_found_before(self) -> None:
        before = self.audit.run_once()
        self.driver.connected = False

        self.assertRaises(UNAVAILABLE, self.audit.run_once)

        self.assertEqual(before.resources, self.audit.last.resources)
        self.assertIn('disconnected', self.audit.last.error)

    def test_complains_once_for_each_outage(self) -> None:
        for _ in range(2):
            self.driver.connected = False
            for _ in range(3):
                self.assertRaises(UNAVAILABLE, self.audit.run_once)
            self.driver.connected = True
            self.audit.run_once()

        self.assertEqual(2, self.log.output.count('audit of the host failed'))
        self.assertEqual(2, self.log.output.count('works again'))

    def test_goes_on_in_the_background_until_stopped(self) -> None:
        times: queue.SimpleQueue[datetime.datetime] = queue.SimpleQueue()

        def clock() -> datetime.datetime:
            times.put(NOON)
            return NOON

        counting = audit.PeriodicAudit(self.driver, 0.01, clock)
        self.addCleanup(counting.stop, 5)

        counting.start()

        self.assertEqual(
            [NOON] * 3, [times.get(timeout=10) for _ in range(3)])
        self.assertEqual(1, self.driver.tidyings)
