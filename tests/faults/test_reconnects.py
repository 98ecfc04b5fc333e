# SPDX-License-Identifier: Apache-2.0

"""Many connections, one after the other: nothing of the old ones stays."""

from collections.abc import Callable

from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver.testing import leaks
from tests.faults import base

CUTS, RESTARTS = 200, 20
CUTS_S = 120.0
RSS_ALLOWANCE_MIB = 8
"""For 200 connections: one that leaked would cost some 60 KiB.

What the C library keeps for threads that have ended varies by a few MiB.
"""


class ReconnectsTest(base.ConnectionFaultTestCase):

    def reconnect(
            self, driver: driver_module.LibvirtDriver,
            interrupt: Callable[[], object]) -> None:
        generation = driver.connection_status().generation
        interrupt()
        base.wait_until(
            lambda: driver.connection_status().generation > generation
            and driver.connection_status().state is base.State.CONNECTED,
            'a new connection', timeout_s=base.BACK_S)

    def assert_flat(self, before: leaks.Level) -> None:
        before.wait_back(rss_allowance_mib=RSS_ALLOWANCE_MIB,
                         cut_handshakes=self.leaks.cut_handshakes)

    def test_cut_links_leak_nothing(self) -> None:
        with self.relayed() as link:
            driver = self.connect(link.uri)
            for _ in range(10):
                self.reconnect(driver, link.cut)
            before = leaks.Level.take()

            with base.within(CUTS_S):
                for _ in range(CUTS):
                    self.reconnect(driver, link.cut)

            self.assert_flat(before)
            self.assert_recovers(driver)
            driver.cleanup_host('here')

    def test_restarts_leak_nothing(self) -> None:
        driver = self.connect()

        def restart() -> None:
            self.host.kill_daemon()
            self.restart_daemon()

        self.reconnect(driver, restart)
        before = leaks.Level.take()

        for _ in range(RESTARTS):
            self.reconnect(driver, restart)

        self.assert_flat(before)
        self.assert_recovers(driver)
