# SPDX-License-Identifier: Apache-2.0

"""A daemon that is well, beside a helper daemon that is down."""

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import connection
from tests.faults import base


class HelperDaemonTest(base.GuestFaultTestCase):
    # Guests log through virtlogd, and there is none.
    qemu_settings = {'stdio_handler': 'logd'}

    def test_a_start_fails_and_the_connection_stays(self) -> None:
        spec = self.boot_guest('mute')
        before = self.driver.connection_status()
        for _ in range(3):
            error = self.assertRaises(
                exception.LibvirtFailure, self.driver.spawn, spec)

            self.assertIn('virtlogd', str(error))
            self.assertIn('virtlogd.socket', error.next_step)

        after = self.driver.connection_status()
        self.assertEqual(
            (connection.ConnectionState.CONNECTED, before.generation,
             before.reconnects),
            (after.state, after.generation, after.reconnects))
        self.assertEqual([], self.driver.list_instances())
