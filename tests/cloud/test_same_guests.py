# SPDX-License-Identifier: Apache-2.0

"""Guests see the same hardware before, under and after this driver."""

import unittest

from checks import kinds
from checks import same_guests

from tests.cloud import base
from tests.cloud import host

# With SATA and a config drive; with a TPM; with memory of their own.
FEW = ('q35', 'TPM', 'saved memory')


class Same(unittest.TestCase):
    """Builds all that it is about at once: most of it is waiting."""

    def assert_same(self, chosen: list[kinds.Kind]) -> None:
        """Fail with the tables of those that differ."""
        self.addCleanup(base.nothing_left, host.traces())
        guests = same_guests.walk(chosen)

        for guest in guests:
            self.assertEqual(
                [], guest.differences(), '\n'.join(guest.table()))


class FewKindsTest(Same):

    def test_guests_are_the_same_under_either_driver(self) -> None:
        self.assert_same([
            kind for kind in kinds.KINDS if kind.name in FEW])


class EveryKindTest(Same):

    def test_guests_are_the_same_under_either_driver(self) -> None:
        for group in same_guests.groups(list(kinds.KINDS)):
            self.assert_same(group)
