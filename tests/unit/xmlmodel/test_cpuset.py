# SPDX-License-Identifier: Apache-2.0

from collections.abc import Set

import hypothesis
from hypothesis import strategies

from nova_libvirt_driver.xmlmodel import cpuset
from tests import base


class CpuSetTest(base.TestCase):

    @hypothesis.given(strategies.frozensets(strategies.integers(0, 65535)))
    def test_what_is_written_is_read(self, numbers: Set[int]) -> None:
        self.assertEqual(numbers, cpuset.parse(cpuset.write(numbers)))

    @hypothesis.given(strategies.frozensets(strategies.integers(0, 40)))
    def test_nothing_shorter_says_the_same(self, numbers: Set[int]) -> None:
        starts = [one for one in numbers if one - 1 not in numbers]

        words = list(filter(None, cpuset.write(numbers).split(',')))

        self.assertEqual(len(starts), len(words))

    def test_ranges_and_exceptions(self) -> None:
        self.assertEqual({0, 1, 3, 9}, cpuset.parse('0-3, ^2, 9'))
        self.assertEqual('0-1,3', cpuset.write([3, 0, 1]))

    def test_other_forms_are_refused(self) -> None:
        for text in ('a', '3-1', '-1', '1-', '1--2', '+1', '1_0', '^',
                     '\u0663', '0-65536', '0-99999999999999999999'):
            self.assertRaises(ValueError, cpuset.parse, text)

    def test_other_numbers_are_not_written(self) -> None:
        for number in (-1, 65536):
            self.assertRaises(ValueError, cpuset.write, [0, number])
