# SPDX-License-Identifier: Apache-2.0

from benchmarks import measure
from tests import base


class RowTest(base.TestCase):

    def test_a_goal_may_be_a_most_or_a_least(self) -> None:
        self.assertTrue(measure.Row(what='', value=2, at_most=2).met)
        self.assertFalse(measure.Row(what='', value=3, at_most=2).met)
        self.assertTrue(measure.Row(what='', value=2, at_least=2).met)
        self.assertFalse(measure.Row(what='', value=1, at_least=2).met)
        self.assertTrue(measure.Row(what='', value=1).met)

    def test_a_goal_that_is_missed_shows_and_is_a_failure(self) -> None:
        rows = [measure.Row(what='good', value=1, unit='ms', at_most=2),
                measure.Row(what='bad', value=1, unit='x', at_least=2)]

        *_, good, bad = measure.table(rows).splitlines()

        self.assertEqual(['good', '1', 'ms', '<=', '2'], good.split())
        self.assertEqual(['bad', '1', 'x', '>=', '2', 'MISSED'], bad.split())
        self.assertEqual((0, 1), (measure.exit_code(rows[:1]),
                                  measure.exit_code(rows)))

    def test_one_value_has_no_quartiles(self) -> None:
        self.assertEqual('', measure.spread([1.0]))
        self.assertEqual('1 to 3', measure.spread([0.0, 1.0, 2.0, 3.0, 4.0]))


class PercentileTest(base.TestCase):

    def test_percentiles_are_of_the_values(self) -> None:
        values = [float(value) for value in range(1, 101)]

        self.assertEqual(50, measure.percentile(values, 50))
        self.assertEqual(99, measure.percentile(values, 99))
        self.assertEqual(100, measure.percentile(values, 100))
        self.assertEqual(7, measure.percentile([7.0], 99))
