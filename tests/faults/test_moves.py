# SPDX-License-Identifier: Apache-2.0

"""Some rows of the table of faults; ``tools/test --moves`` has all."""

import pathlib

from tests import base
from tests.faults import moves

_QUICK = ('test_copy_source_agent', 'test_copy_source_daemon',
          'test_copy_destination_daemon', 'test_switch_abort',
          'test_post_copy_broken_link', 'test_post_copy_abort')
_MANUAL = (pathlib.Path(__file__).parents[2] / 'doc' / 'source' / 'reference'
           / 'live-migration-faults.csv')


class QuickTest(moves.MoveFaultTestCase):
    """Has a test for each of them."""


moves.add_rows(QuickTest, tuple(
    row for row in moves.TABLE if row.name in _QUICK))


class ManualTest(base.TestCase):

    def test_the_manual_has_the_table(self) -> None:
        self.assertEqual(moves.as_csv(), _MANUAL.read_text())
