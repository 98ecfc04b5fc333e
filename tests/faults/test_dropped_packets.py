# SPDX-License-Identifier: Apache-2.0

"""A link over TCP whose packets are dropped: no end of it ever hears."""

from typing import Any

import fixtures
import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import leaks
from nova_libvirt_driver.testing import libvirtd
from nova_libvirt_driver.testing import namespaces
from tests.faults import base
from tests.functional import base as functional_base

PORT = 16509
CALLERS = 10


class DroppedPacketsTest(functional_base.DriverTestCase):

    def setUp(self) -> None:
        self.host = libvirtd.PrivateHost('remote', libvirtd={
            'listen_tls': 0, 'listen_tcp': 1, 'auth_tcp': 'none',
            'listen_addr': '127.0.0.1', 'tcp_port': str(PORT)})
        self.addCleanup(self.host.stop)
        self.host.start()
        self.leaks = self.useFixture(leaks.LeakCheck(self.host.uri))
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch(
            'libvirt.openAuth', self.open_inside(libvirt.openAuth)))

    def open_inside(self, open_auth: Any) -> Any:
        """Let connections begin in the network of the host."""
        def opening(*args: Any) -> Any:
            assert self.host.holder_pid is not None
            with namespaces.network_of(self.host.holder_pid):
                return open_auth(*args)

        return opening

    def drop(self, action: str) -> None:
        """Begin (``-A``) or cease (``-D``) to drop what is for the daemon."""
        done = self.host.run([
            'iptables', '-w', action, 'INPUT', '-p', 'tcp', '--dport',
            str(PORT), '-j', 'DROP'])
        self.assertEqual(0, done.returncode, done.stderr)

    def test_keepalive_finds_it_and_the_link_comes_back(self) -> None:
        driver = self.make_driver(f'qemu+tcp://127.0.0.1:{PORT}/system')
        driver.init_host('here')
        functional_base.start_guest(self.host, 'stays')
        self.assertEqual(['stays'], driver.list_instances())

        self.drop('-A')
        results = fake_ports.run_threads(
            [driver.list_instances] * CALLERS, timeout_s=base.FOUND_S)

        self.assertEqual(
            [exception.HypervisorUnavailable] * CALLERS,
            [base.kind_of(result) for result in results], str(results))
        base.wait_until(lambda: self.service_state.enabled is False,
                        'the host to be disabled', timeout_s=base.FOUND_S)
        self.drop('-D')
        base.assert_recovers(driver, self.service_state, 'stays')
        self.assertEqual([True, False, True], self.service_state.changes)
