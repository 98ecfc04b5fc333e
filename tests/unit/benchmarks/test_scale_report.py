# SPDX-License-Identifier: Apache-2.0

from typing import Any

from benchmarks import measure
from benchmarks import plot
from benchmarks import scale_report
from benchmarks import verbs
from tests import base


def cost(subject: str, verb: str, *cold_s: float, guests: int = 50,
         **fields: Any) -> scale_report.Cost:
    return scale_report.Cost(
        guests, subject, verb, cold_s=list(cold_s),
        cpu_s=[one / 2 for one in cold_s], **fields)


def missed(*costs: scale_report.Cost) -> list[str]:
    return [row.what for row in scale_report.goals(scale_report.Costs(costs))
            if not row.met]


class GoalsTest(base.TestCase):

    def test_all_is_well(self) -> None:
        self.assertEqual([], missed(
            cost('ours', verbs.AUDIT, 0.01, calls=3),
            cost('in-tree', verbs.AUDIT, 2.0, calls=75, programs=101),
            cost('ours', verbs.SYNC, 0.01, calls=1)))

    def test_an_audit_is_to_be_much_faster_with_fifty_guests(self) -> None:
        pair = (cost('ours', verbs.AUDIT, 0.1),
                cost('in-tree', verbs.AUDIT, 2.0))

        self.assertEqual(
            ['50 guests: audit, how much faster than in-tree'], missed(*pair))
        for one in pair:
            one.guests = 10
        self.assertEqual([], missed(*pair))

    def test_an_audit_is_to_be_near_the_limit_with_a_thousand(self) -> None:
        pair = (cost('ours', verbs.AUDIT, 0.2, 0.2),
                cost('libvirt', verbs.LIMIT, 0.1, 0.1))
        self.assertEqual([], missed(*pair))
        for one in pair:
            one.guests = 1000

        self.assertEqual(
            ['1000 guests: audit to one plain call'], missed(*pair))

    def test_calls_and_programs_are_few(self) -> None:
        self.assertEqual(
            ['50 guests: programs of an audit',
             '50 guests: calls of get_diagnostics',
             f'50 guests: calls of {verbs.SYNC}'],
            missed(cost('ours', verbs.AUDIT, 1.0, calls=3, programs=1),
                   cost('ours', 'get_diagnostics', 1.0, calls=4),
                   cost('ours', verbs.SYNC, 1.0, calls=2)))

    def test_the_driver_alone_is_measured_like_ours(self) -> None:
        self.assertEqual(
            ['50 guests: calls of list_instances'],
            missed(cost('alone', 'list_instances', 1.0, calls=4)))

    def test_what_is_not_supported_has_no_goal(self) -> None:
        self.assertEqual([], missed(
            cost('ours', 'get_all_volume_usage', supported=False)))


class TableTest(base.TestCase):

    def test_each_verb_has_a_line(self) -> None:
        costs = scale_report.Costs([
            cost('ours', verbs.AUDIT, 0.01, 0.01, calls=3, warm_s=[0.001]),
            cost('ours', 'get_all_volume_usage', supported=False),
            cost('in-tree', verbs.AUDIT, 2.0, programs=101),
            cost('libvirt', verbs.LIMIT, 0.01)])

        lines = scale_report.table(costs, 50).splitlines()

        self.assertEqual('50 guests', lines[0])
        audit, = (line for line in lines if line.startswith(verbs.AUDIT))
        self.assertIn('1 ms', audit)
        self.assertTrue(audit.endswith('200 x'), audit)
        usage, = (line for line in lines if 'volume_usage' in line)
        self.assertIn('not supported', usage)
        self.assertIn(f'libvirt, {verbs.LIMIT}', lines[-1])

    def test_times_have_a_fitting_unit(self) -> None:
        self.assertEqual('1.5 ms', scale_report.duration(0.0015))
        self.assertEqual('2.5 s', scale_report.duration(2.5))


class PlotTest(base.TestCase):

    def test_a_line_leaves_out_what_was_not_measured(self) -> None:
        costs = scale_report.Costs([
            cost('ours', verbs.AUDIT, 0.01, guests=10),
            cost('ours', verbs.AUDIT, guests=50),
            cost('ours', verbs.AUDIT, 0.02, guests=200)])

        self.assertEqual(([10, 200], [10.0, 20.0]),
                         plot.line(costs, 'ours', verbs.AUDIT))


class TurnsTest(base.TestCase):

    def test_ratio_is_that_of_the_medians(self) -> None:
        row = measure.ratio_row(
            '', measure.Times((1.0, 2.0, 9.0)), measure.Times((1.0, 1.0, 1.0)))

        self.assertEqual(2.0, row.value)
