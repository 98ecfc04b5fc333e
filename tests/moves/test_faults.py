# SPDX-License-Identifier: Apache-2.0

"""The whole table of faults of live migrations."""

from tests.faults import moves


class TableTest(moves.MoveFaultTestCase):
    """Has a test for each row."""


moves.add_rows(TableTest, moves.TABLE)
