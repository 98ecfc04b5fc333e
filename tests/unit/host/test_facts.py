# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import host
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from tests.unit.guest import base

FACTS = ('getInfo', 'getCapabilities', 'getHostname', 'getVersion')


class FactsTest(base.FakeHostTestCase):

    def asked(self) -> set[int]:
        """Return how often each of the facts was asked for."""
        calls = self.hypervisor.calls
        return {calls.get(name, 0) for name in FACTS}

    def test_facts_are_those_of_the_hypervisor(self) -> None:
        self.assertEqual(
            host.HostFacts(
                hostname='fake-host', hypervisor_type='QEMU',
                hypervisor_version=7_002_000, libvirt_version=9_000_000,
                uri='fake:///', arch='x86_64', cpus=4, memory_mib=8192,
                cpu_model='', cpu_sockets=1, cpu_cores=4, cpu_threads=1),
            self.make_driver().get_host_facts())

    def test_sockets_are_those_of_all_nodes(self) -> None:
        # Of each of two nodes: one socket, two cores, two threads.
        self.hypervisor.node_info = [8192, 8, 2400, 2, 1, 2, 2]

        facts = self.make_driver().get_host_facts()

        self.assertEqual((8, 2, 2, 2), (
            facts.cpus, facts.cpu_sockets, facts.cpu_cores,
            facts.cpu_threads))

    def test_node_is_the_host_as_libvirt_calls_it(self) -> None:
        self.assertEqual(['fake-host'],
                         self.make_driver().get_available_nodes())

    def test_facts_are_read_once_for_a_connection(self) -> None:
        driver = self.make_driver()
        self.assertEqual({0}, self.asked())

        facts = [driver.get_host_facts() for _ in range(5)]
        driver.get_available_nodes()

        self.assertEqual({1}, self.asked())
        self.assertEqual(1, len(set(facts)))

    def test_facts_are_read_again_after_a_reconnect(self) -> None:
        driver = self.make_driver()
        driver.get_host_facts()

        self.hypervisor.hostname = 'renamed'
        self.assertEqual('fake-host', driver.get_host_facts().hostname)
        self.reconnect(driver)

        self.assertEqual('renamed', driver.get_host_facts().hostname)
        driver.get_host_facts()
        self.assertEqual({2}, self.asked())

    def test_failed_reading_is_translated_and_made_again(self) -> None:
        driver = self.make_driver()
        self.hypervisor.fail_next(
            'getCapabilities', fake_libvirt.libvirt_error(
                libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_FROM_QEMU,
                'no memory'))

        error = self.assertRaises(
            exception.LibvirtFailure, driver.get_host_facts)

        self.assertIn('read the facts of the host', str(error))
        self.assertEqual('x86_64', driver.get_host_facts().arch)

    def test_nobody_knows_the_facts_of_a_lost_host(self) -> None:
        driver = self.make_driver()
        driver.get_host_facts()

        self.hypervisor.refuse_connections()
        self.hypervisor.break_connections()

        self.assertRaises(
            exception.HypervisorUnavailable, driver.get_host_facts)

    def test_callers_at_the_same_time_get_the_same(self) -> None:
        driver = self.make_driver()

        facts = fake_ports.run_threads([driver.get_host_facts] * 10)

        self.assertEqual(1, len(set(facts)))
        self.assertEqual('fake-host', facts[0].hostname)
