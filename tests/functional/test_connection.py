# SPDX-License-Identifier: Apache-2.0

"""The connection against a real libvirtd."""

from typing import Any

import libvirt

from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.testing import fake_ports
from tests.functional import base

wait_until = fake_ports.wait_until
_State = connection_spec.ConnectionState


class ConnectTest(base.PrivateHostTestCase):

    def test_connects_with_keepalive_and_events(self) -> None:
        driver = self.make_driver(self.host.uri)

        version = driver._conn.getLibVersion()

        status = driver.connection_status()
        self.assertGreater(version, 8_000_000)
        self.assertEqual(_State.CONNECTED, status.state)
        self.assertTrue(status.events)
        self.assertTrue(status.keepalive)
        self.assertEqual(
            [True], [enabled for _, enabled, _ in self.service_state.calls])

    def test_a_read_only_connection_refuses_to_write(self) -> None:
        self.start_guest('looked-at')
        driver = self.make_driver(self.host.read_only_uri, read_only=True)

        domain: Any = driver._conn.listAllDomains()[0]
        error = self.assertRaises(libvirt.libvirtError, domain.destroy)

        self.assertIn('read only', str(error))
        self.assertEqual(['looked-at'], driver.list_instances())

    def test_events_of_a_real_guest_arrive_in_order(self) -> None:
        driver = self.make_driver(self.host.uri)
        driver.init_host('here')

        self.start_guest('lively')
        self.host.virsh('suspend', 'lively')
        self.host.virsh('resume', 'lively')
        self.host.virsh('destroy', 'lively')

        expected = ['started', 'paused', 'resumed', 'stopped']
        wait_until(
            lambda: self.listener.transitions('lively') == expected,
            f'{expected}, got {self.listener.transitions("lively")}')

    def test_fifty_callers_share_one_connect(self) -> None:
        driver = self.make_driver(self.host.uri)

        results = fake_ports.run_threads([driver.list_instances] * 50)

        self.assertEqual([[]] * 50, results)
        self.assertEqual(1, driver.connection_status().generation)
