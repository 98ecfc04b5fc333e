# SPDX-License-Identifier: Apache-2.0

import pathlib

import fixtures
import libvirt

from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.host import capabilities
from nova_libvirt_driver.host import host_capabilities
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.xmlmodel import capabilities as capabilities_model
from tests import base as tests_base
from tests.unit.guest import base

HOST = """
<capabilities>
  <host>
    <uuid>0c1a6580-974d-42d0-b83f-3387c78498c3</uuid>
    <secmodel><model>apparmor</model><doi>0</doi></secmodel>
    <secmodel>
      <model>dac</model>
      <doi>0</doi>
      <baselabel type='kvm'>+64055:+108</baselabel>
      <baselabel type='qemu'>+64055:+64056</baselabel>
    </secmodel>
  </host>
</capabilities>
"""

DOMAIN = """
<domainCapabilities>
  <machine>pc-q35-7.2</machine>
  <arch>x86_64</arch>
  <os supported='yes'>
    <enum name='firmware'><value>efi</value></enum>
    <loader supported='yes'>
      <value>/firmware/secboot.fd</value>
      <value>/firmware/plain.fd</value>
      <enum name='secure'><value>yes</value><value>no</value></enum>
    </loader>
  </os>
  <cpu>
    <mode name='host-passthrough' supported='no'/>
    <mode name='host-model' supported='yes'/>
    <mode name='custom' supported='yes'>
      <model usable='yes'>qemu64</model>
      <model usable='no'>EPYC</model>
      <model usable='unknown'>Nehalem</model>
    </mode>
  </cpu>
  <memoryBacking supported='yes'>
    <enum name='sourceType'><value>memfd</value></enum>
  </memoryBacking>
  <devices>
    <disk supported='yes'>
      <enum name='bus'><value>virtio</value><value>sata</value></enum>
    </disk>
    <graphics supported='yes'>
      <enum name='type'><value>vnc</value></enum>
    </graphics>
    <video supported='yes'>
      <enum name='modelType'><value>vga</value></enum>
    </video>
    <rng supported='yes'>
      <enum name='backendModel'><value>random</value></enum>
    </rng>
    <tpm supported='no'>
      <enum name='model'><value>tpm-crb</value></enum>
    </tpm>
  </devices>
  <features><sev supported='yes'/></features>
</domainCapabilities>
"""

MACHINE_ID = '11111111-2222-3333-4444-555555555555'


class ParseTest(tests_base.TestCase):

    def test_user_of_emulators_is_that_of_the_kind(self) -> None:
        said = capabilities_model.Capabilities.parse(HOST)

        self.assertEqual(
            (64055, 64056), host_capabilities.qemu_user(said, 'qemu'))

    def test_nobody_is_named_where_libvirt_names_nobody(self) -> None:
        said = capabilities_model.Capabilities.parse(HOST)

        self.assertEqual(
            (None, None), host_capabilities.qemu_user(said, 'xen'))

    def test_firmware_is_what_libvirt_offers(self) -> None:
        found = host_capabilities.of_domains(DOMAIN, 8_006_000)

        self.assertEqual(
            (True, True, True),
            (found.uefi, found.secure_boot, found.stateless_firmware))
        self.assertEqual(('/firmware/secboot.fd', '/firmware/plain.fd'),
                         found.loaders)
        self.assertEqual(('x86_64', 'pc-q35-7.2'),
                         (found.arch, found.machine))

    def test_stateless_firmware_needs_a_newer_libvirt(self) -> None:
        found = host_capabilities.of_domains(DOMAIN, 8_005_000)

        self.assertFalse(found.stateless_firmware)

    def test_only_what_is_supported_counts(self) -> None:
        found = host_capabilities.of_domains(DOMAIN, 9_000_000)

        self.assertEqual({'host-model', 'custom'}, found.cpu_modes)
        self.assertEqual({'qemu64', 'Nehalem'}, found.cpu_models)
        self.assertEqual(frozenset(), found.tpm_models)

    def test_firmware_of_a_loader_that_is_not_supported(self) -> None:
        text = DOMAIN.replace("<loader supported='yes'>",
                              "<loader supported='no'>")
        found = host_capabilities.of_domains(text, 9_000_000)

        self.assertEqual((), found.loaders)
        self.assertFalse(found.secure_boot)

    def test_devices_are_those_in_the_lists(self) -> None:
        found = host_capabilities.of_domains(DOMAIN, 9_000_000)

        self.assertEqual({'virtio', 'sata'}, found.disk_buses)
        self.assertEqual({'vnc'}, found.graphics)
        self.assertEqual({'vga'}, found.video_models)
        self.assertEqual({'random'}, found.rng_backends)
        self.assertEqual({'memfd'}, found.memory_sources)
        self.assertTrue(found.memory_encryption)

    def test_silent_text_gives_nothing(self) -> None:
        found = host_capabilities.of_domains(
            '<domainCapabilities/>', 9_000_000)

        self.assertFalse(found.uefi or found.secure_boot)
        self.assertEqual(frozenset(), found.disk_buses | found.cpu_modes)


class MachineIdTest(tests_base.TestCase):

    def machine_id(self, text: str) -> str:
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'id')
        path.write_text(text)
        return capabilities.read_machine_id(str(path))

    def test_identifier_becomes_a_uuid(self) -> None:
        self.assertEqual(
            MACHINE_ID, self.machine_id(MACHINE_ID.replace('-', '') + '\n'))

    def test_nonsense_counts_as_none(self) -> None:
        self.assertEqual('', self.machine_id('uninitialized\n'))
        self.assertEqual('', capabilities.read_machine_id('/no/such/file'))


class CapabilitiesTest(base.FakeHostTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor.capabilities = HOST
        self.hypervisor.domain_capabilities = DOMAIN

    def make_capabilities(
            self, driver: driver_module.LibvirtDriver
    ) -> capabilities.Capabilities:
        parts = driver._parts
        return capabilities.Capabilities(
            parts.link, parts.facts, lambda: MACHINE_ID)

    def asked(self) -> int:
        """Return how often the hypervisor was asked."""
        return self.hypervisor.calls.get('getDomainCapabilities', 0)

    def test_host_is_as_libvirt_says(self) -> None:
        found = self.make_capabilities(self.make_driver()).get()

        self.assertEqual(('QEMU', 9_000_000, 7_002_000, MACHINE_ID),
                         (found.hypervisor_type, found.libvirt_version,
                          found.hypervisor_version, found.machine_id))
        self.assertEqual('pc-q35-7.2', found.capabilities.machine)
        self.assertEqual(64055, found.qemu_uid)
        self.assertEqual(
            '0c1a6580-974d-42d0-b83f-3387c78498c3', found.host_uuid)

    def test_each_kind_is_asked_for_once(self) -> None:
        host = self.make_capabilities(self.make_driver())

        for _ in range(3):
            host.get()
            host.get(machine='q35')
            host.get(machine='q35', virt_type='kvm')

        self.assertEqual(3, self.asked())

    def test_new_connection_is_asked_again(self) -> None:
        driver = self.make_driver()
        host = self.make_capabilities(driver)
        host.get()

        self.hypervisor.domain_capabilities = '<domainCapabilities/>'
        self.reconnect(driver)

        self.assertEqual('', host.get().capabilities.machine)
        self.assertEqual(2, self.asked())

    def test_driver_without_the_function_lacks_nothing(self) -> None:
        self.hypervisor.domain_capabilities = None

        found = self.make_capabilities(self.make_driver()).get()

        self.assertEqual('x86_64', found.capabilities.arch)
        self.assertEqual(frozenset(), found.capabilities.disk_buses)

    def test_unknown_machine_is_no_failure_of_libvirt(self) -> None:
        host = self.make_capabilities(self.make_driver())
        self.hypervisor.fail_next(
            'getDomainCapabilities', fake_libvirt.libvirt_error(
                libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_FROM_QEMU,
                "the machine 'vax' is not supported"))

        error = self.assertRaises(
            exception.UnsupportedOperation, host.get, machine='vax')

        self.assertIn('guests of the kind x86_64 vax qemu', str(error))

    def test_failure_is_not_kept(self) -> None:
        host = self.make_capabilities(self.make_driver())
        self.hypervisor.fail_next(
            'getDomainCapabilities', fake_libvirt.libvirt_error(
                libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_FROM_QEMU, 'full'))

        self.assertRaises(exception.LibvirtFailure, host.get)

        self.assertEqual('pc-q35-7.2', host.get().capabilities.machine)

    def test_nobody_knows_a_lost_host(self) -> None:
        host = self.make_capabilities(self.make_driver())
        host.get()

        self.hypervisor.refuse_connections()
        self.hypervisor.break_connections()

        self.assertRaises(exception.HypervisorUnavailable, host.get)
