# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver.monitoring import health
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import health as health_spec
from tests import base
from tests.unit.monitoring import values

Verdict = health_spec.Verdict

UUIDS = tuple(f'0000000{number}-aaaa' for number in range(7))

# What is wrong, and its name, with a connection that works.
LIMITS = (
    (values.well(unresponsive=UUIDS[:1]), 'guests_quarantined'),
    (values.well(running_calls=64), 'calls_exhausted'),
    (values.well(abandoned_calls=1), 'calls_abandoned'),
    (values.well(events=False), 'no_events'),
    (values.well(queued_events=health.LONG_QUEUE), 'events_waiting'),
)


def judge(status: connection_spec.ConnectionStatus) -> tuple[
        Verdict, list[str]]:
    """Return the verdict and the names of the reasons; grace 5 s."""
    found = health.judge(status, grace_s=5)
    return found.verdict, [reason.name for reason in found.reasons]


class JudgeTest(base.TestCase):

    def test_without_a_reason_it_is_healthy(self) -> None:
        for status in (
                values.well(), values.well(running_calls=63),
                values.well(queued_events=health.LONG_QUEUE - 1),
                values.well(last_error='long ago', reconnects=9),
                values.well(keepalive=False, in_process=True),
                # A driver that does not say how many calls there may be.
                values.well(call_limit=0)):
            self.assertEqual((Verdict.HEALTHY, []), judge(status))

    def test_each_limit_degrades(self) -> None:
        for status, name in LIMITS:
            self.assertEqual((Verdict.DEGRADED, [name]), judge(status))

    def test_every_limit_is_told(self) -> None:
        self.assertEqual(
            (Verdict.DEGRADED, ['guests_quarantined', 'calls_exhausted',
                                'calls_abandoned']),
            judge(values.well(unresponsive=UUIDS, running_calls=64,
                              abandoned_calls=64)))

    def test_a_loss_degrades_until_its_grace_is_over(self) -> None:
        for state in ('broken', 'connecting'):
            for lost_for_s, verdict, name in (
                    (0.0, Verdict.DEGRADED, 'connection_lost'),
                    (4.9, Verdict.DEGRADED, 'connection_lost'),
                    (5.0, Verdict.UNAVAILABLE, 'no_connection'),
                    (None, Verdict.UNAVAILABLE, 'no_connection')):
                self.assertEqual((verdict, [name]), judge(values.lost(
                    state=connection_spec.ConnectionState(state),
                    lost_for_s=lost_for_s)))

    def test_without_a_grace_a_loss_is_an_outage(self) -> None:
        found = health.judge(values.lost(lost_for_s=0.0), grace_s=0)

        self.assertIs(Verdict.UNAVAILABLE, found.verdict)

    def test_nothing_was_opened_yet(self) -> None:
        found = health.judge(values.lost(
            state=connection_spec.ConnectionState.DISCONNECTED,
            last_error='', lost_for_s=None), grace_s=5)

        self.assertIs(Verdict.UNAVAILABLE, found.verdict)
        self.assertIn('qemu:///system: it is disconnected',
                      found.reasons[0].text)

    def test_every_reason_says_what_to_do(self) -> None:
        statuses = [status for status, _ in LIMITS]
        for status in (*statuses, values.lost(),
                       values.lost(lost_for_s=None)):
            for reason in health.judge(status, grace_s=5).reasons:
                self.assertTrue(reason.text)
                self.assertTrue(reason.next_step)

    def test_only_a_few_guests_are_named(self) -> None:
        found = health.judge(values.well(unresponsive=UUIDS), grace_s=5)

        self.assertIn(UUIDS[4], found.reasons[0].text)
        self.assertNotIn(UUIDS[5], found.reasons[0].text)
        self.assertIn('and 2 more', found.reasons[0].text)
