# SPDX-License-Identifier: Apache-2.0

"""Capabilities as a real libvirt states them."""

from nova_libvirt_driver import exception
from nova_libvirt_driver.host import capabilities
from tests.functional import base


class QemuTest(base.PrivateHostTestCase):

    def setUp(self) -> None:
        super().setUp()
        parts = self.make_driver(self.host.uri)._parts
        self.capabilities = capabilities.Capabilities(
            parts.link, parts.facts)

    def test_machine_is_named_by_its_version(self) -> None:
        plain = self.capabilities.get().capabilities
        q35 = self.capabilities.get(machine='q35').capabilities

        self.assertRegex(plain.machine, r'^pc-i440fx-\d')
        self.assertRegex(q35.machine, r'^pc-q35-\d')

    def test_firmware_depends_on_the_machine(self) -> None:
        plain = self.capabilities.get(machine='pc').capabilities
        q35 = self.capabilities.get(machine='q35').capabilities

        self.assertEqual((True, False), (plain.uefi, plain.secure_boot))
        self.assertEqual((True, True), (q35.uefi, q35.secure_boot))
        self.assertTrue(q35.stateless_firmware)

    def test_devices_depend_on_the_machine(self) -> None:
        plain = self.capabilities.get(machine='pc').capabilities
        q35 = self.capabilities.get(machine='q35').capabilities

        self.assertIn('ide', plain.disk_buses - q35.disk_buses)
        self.assertIn('memfd', q35.memory_sources)
        self.assertIn('2.0', q35.tpm_versions)
        self.assertIn('qemu64', q35.cpu_models)

    def test_user_of_emulators_is_the_rigs(self) -> None:
        host = self.capabilities.get()

        self.assertEqual((0, 0), (host.qemu_uid, host.qemu_gid))
        self.assertEqual(36, len(host.host_uuid))

    def test_a_cpu_is_one_that_the_hypervisor_has(self) -> None:
        driver = self.make_driver(self.host.uri)
        self.addCleanup(driver.cleanup_host, 'here')
        cpu = ("<cpu mode='custom' match='exact'><model>%s</model>"
               "<feature policy='require' name='%s'/></cpu>")

        driver.check_cpu(cpu % ('qemu64', 'sse2'), 'qemu')
        error = self.assertRaises(
            exception.UnsupportedOperation, driver.check_cpu,
            cpu % ('qemu64', 'invtsc'), 'qemu')

        self.assertIn('invtsc', str(error))

    def test_unknown_kind_is_unsupported(self) -> None:
        self.assertRaises(exception.UnsupportedOperation,
                          self.capabilities.get, machine='vax')
        self.assertRaises(exception.UnsupportedOperation,
                          self.capabilities.get, arch='pdp11')


class TestDriverTest(base.DriverTestCase):

    def test_test_driver_says_little(self) -> None:
        parts = self.make_driver('test:///default')._parts

        host = capabilities.Capabilities(
            parts.link, parts.facts).get()

        self.assertEqual('TEST', host.hypervisor_type)
        self.assertEqual(frozenset(), host.capabilities.disk_buses)
        self.assertIsNone(host.qemu_uid)
