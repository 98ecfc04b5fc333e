# SPDX-License-Identifier: Apache-2.0

from benchmarks import connections
from benchmarks import footprint
from tests import base


class FootprintTest(base.TestCase):

    def test_memory_is_the_difference_that_guests_make(self) -> None:
        more = (footprint.MANY - footprint.FEW) * 1024

        row = footprint.memory_row(5000, 5000 + 2 * more)

        self.assertEqual(2.0, row.value)
        self.assertTrue(row.met)
        self.assertFalse(footprint.memory_row(0, 6 * more).met)


class CrowdTest(base.TestCase):

    def test_many_answers_make_four_rows(self) -> None:
        answer = {'taken_s': [0.001] * 98 + [0.2, 0.4], 'wall_s': 0.5}

        rows = list(connections.crowd_rows('all', [answer]))

        self.assertEqual(
            [('all, a second', 200), ('all, p50', 1), ('all, p99', 200),
             ('all, longest', 400)], [(row.what, row.value) for row in rows])
