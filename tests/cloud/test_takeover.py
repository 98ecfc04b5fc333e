# SPDX-License-Identifier: Apache-2.0

"""Guests that one driver made and another one looks after."""

from tests.cloud import host
from tests.cloud import life

OURS = 'nova_libvirt_driver.LibvirtDriver'
NOVAS = 'libvirt.LibvirtDriver'


class TakenOverTest(life.Life):
    """A guest of Nova's own driver, under this one."""

    maker = NOVAS
    keeper = OURS


class HandedBackTest(life.Life):
    """A guest of this driver, under Nova's own."""

    maker = OURS
    keeper = NOVAS

    @classmethod
    def setUpClass(cls) -> None:
        cls.addClassCleanup(host.restart_compute, OURS)
        super().setUpClass()
