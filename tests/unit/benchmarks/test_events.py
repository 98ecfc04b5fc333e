# SPDX-License-Identifier: Apache-2.0

from benchmarks import events
from tests import base


class HeardTest(base.TestCase):

    def test_events_are_matched_in_order(self) -> None:
        heard = events.heard({'a': [0.0, 1.0], 'b': [0.5]},
                             {'a': [0.5, 2.0], 'b': [1.0]})

        self.assertEqual([0.5, 1.0, 0.5], list(heard.latencies_s))
        self.assertEqual(0, heard.lost)
        self.assertEqual(1.5, heard.per_second)

    def test_a_guest_with_a_lost_event_has_no_latencies(self) -> None:
        heard = events.heard({'a': [0.0, 1.0], 'b': [0.0]},
                             {'a': [2.0], 'b': [0.5]})

        self.assertEqual([0.5], list(heard.latencies_s))
        self.assertEqual(1, heard.lost)

    def test_nothing_heard_is_all_lost(self) -> None:
        heard = events.heard({'a': [0.0, 1.0]}, {})

        self.assertEqual((0, 2), (heard.per_second, heard.lost))


class RowsTest(base.TestCase):

    def test_a_lost_event_of_ours_is_a_failure(self) -> None:
        good = events.Heard(100.0, (0.001, 0.002), 0)
        bad = events.Heard(50.0, (), 1)

        rows = events.rows({'ours': [(good, good), (good, bad)],
                            'in-tree': [(bad, good)]})

        self.assertEqual(
            ['ours: events lost'], [row.what for row in rows if not row.met])
        latency, = (row for row in rows
                    if row.what == 'ours: latency of an event, p99')
        self.assertEqual(2.0, latency.value)
