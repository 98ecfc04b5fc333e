# SPDX-License-Identifier: Apache-2.0

"""Guests that one driver made and another one looks after."""

from checks import compute

from tests.cloud import life


class TakenOverTest(life.Life):
    """A guest of Nova's own driver, under this one."""

    maker = compute.NOVAS
    keeper = compute.OURS


class HandedBackTest(life.Life):
    """A guest of this driver, under Nova's own."""

    maker = compute.OURS
    keeper = compute.NOVAS

    @classmethod
    def setUpClass(cls) -> None:
        cls.addClassCleanup(compute.restart, compute.OURS)
        super().setUpClass()
