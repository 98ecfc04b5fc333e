# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver.storage import survey
from nova_libvirt_driver.storage import usage
from tests import base

FOLDERS = ['/nowhere/1', '/nowhere/2', '/nowhere/3']


class Sizes(usage.DiskSizes):
    """Does something in each folder."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.given_up = ''

    def growth_bytes(self, folder: str) -> int:
        self.seen.append(folder)
        if len(self.seen) == 2:
            # What who waits does when a folder hangs.
            self.given_up = self.walk.give_up()
        return 5

    walk: survey.Walk


class WalkTest(base.TestCase):

    def test_all_are_looked_at(self) -> None:
        one = survey.Walk(FOLDERS, usage.DiskSizes(), 60)

        one.run()

        self.assertEqual(dict.fromkeys(FOLDERS, 0), one.growth_bytes)
        self.assertEqual(([], True), (one.left(), one.ended))

    def test_it_ends_by_itself(self) -> None:
        one = survey.Walk(FOLDERS, usage.DiskSizes(), -1)

        one.run()

        self.assertEqual((FOLDERS, True), (one.left(), one.ended))

    def test_one_that_hangs_is_passed_over(self) -> None:
        sizes = Sizes()
        sizes.walk = one = survey.Walk(FOLDERS, sizes, 60)

        one.run()

        self.assertEqual(FOLDERS[:2], sizes.seen)
        self.assertEqual((FOLDERS[1], FOLDERS[2:]),
                         (sizes.given_up, one.left()))
