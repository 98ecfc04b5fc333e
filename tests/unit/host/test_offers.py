# SPDX-License-Identifier: Apache-2.0

import fixtures
import libvirt
from oslo_config import cfg

from nova_libvirt_driver.spec import host
from nova_libvirt_driver.testing import fake_libvirt
from tests.unit.guest import base

CAPABILITIES = """
<capabilities>
  <host>
    <cpu>
      <arch>x86_64</arch>
      <model>Nehalem</model>
      <vendor>Intel</vendor>
      <maxphysaddr mode='emulate' bits='48'/>
      <feature name='vmx'/>
    </cpu>
    <topology>
      <cells num='2'>
        <cell id='0'>
          <memory unit='KiB'>8192</memory>
          <pages unit='KiB' size='4'>1536</pages>
          <pages unit='MiB' size='2'>1</pages>
          <cpus num='2'>
            <cpu id='0' socket_id='0' core_id='0' siblings='0-1'/>
            <cpu id='1' socket_id='0' core_id='0' siblings='0-1'/>
          </cpus>
        </cell>
        <cell id='1'>
          <cpus num='1'><cpu id='4' siblings='4,6'/></cpus>
        </cell>
      </cells>
    </topology>
  </host>
  <guest>
    <os_type>hvm</os_type>
    <arch name='x86_64'>
      <machine canonical='pc-q35-7.2'>q35</machine>
      <machine>pc-q35-7.2</machine>
      <domain type='qemu'/>
      <domain type='kvm'>
        <machine canonical='pc-q35-7.1'>old</machine>
      </domain>
    </arch>
  </guest>
</capabilities>
"""

DOMAIN = """
<domainCapabilities>
  <machine>pc-q35-7.2</machine>
  <arch>x86_64</arch>
  <cpu><mode name='host-model' supported='yes'/></cpu>
  <devices>
    <disk supported='yes'>
      <enum name='bus'><value>virtio</value><value>sata</value></enum>
    </disk>
    <video supported='yes'>
      <enum name='modelType'><value>vga</value></enum>
    </video>
    <tpm supported='yes'>
      <enum name='model'><value>tpm-crb</value></enum>
      <enum name='backendVersion'><value>2.0</value></enum>
    </tpm>
  </devices>
</domainCapabilities>
"""

EXPANDED = """
<cpu>
  <model>Nehalem</model>
  <feature policy='require' name='vmx'/>
  <feature policy='require' name='sse2'/>
  <feature policy='disable' name='mpx'/>
</cpu>
"""


class OffersTest(base.FakeHostTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor.capabilities = CAPABILITIES
        self.hypervisor.domain_capabilities = DOMAIN
        self.hypervisor.baseline_cpu = EXPANDED
        cfg.CONF.set_override('virt_type', 'qemu', 'libvirt')

    def offers(self, **options: object) -> host.HostOffers:
        for name, value in options.items():
            cfg.CONF.set_override(name, value, 'libvirt')
        return self.make_driver().get_host_offers()

    def test_all_that_guests_can_have(self) -> None:
        self.assertEqual(
            host.HostOffers(
                archs=frozenset(('x86_64',)),
                cpu_features=frozenset(('vmx', 'sse2')),
                disk_buses=frozenset(('virtio', 'sata')),
                video_models=frozenset(('vga',)),
                tpm_models=frozenset(('tpm-crb',)),
                tpm_versions=frozenset(('2.0',))), self.offers())

    def test_flags_of_the_configuration_count(self) -> None:
        found = self.offers(cpu_model_extra_flags=['+aes', '-vmx'])

        self.assertEqual({'sse2', 'aes'}, found.cpu_features)

    def test_models_of_the_configuration_count(self) -> None:
        self.hypervisor.baseline_cpu = (
            '<cpu><feature name="mmx" policy="require"/></cpu>')

        found = self.offers(cpu_mode='custom', cpu_models=['Penryn'])

        self.assertEqual({'mmx'}, found.cpu_features)

    def test_a_kind_of_guests_that_cannot_run_offers_nothing(self) -> None:
        self.hypervisor.fail_next(
            'getDomainCapabilities', fake_libvirt.libvirt_error(
                libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_FROM_QEMU, 'no'))

        self.assertEqual(frozenset(), self.offers().archs)

    def test_read_once_for_a_connection(self) -> None:
        driver = self.make_driver()
        driver.get_host_offers()
        before = sum(self.hypervisor.calls.values())

        driver.get_host_offers()

        self.assertEqual(before, sum(self.hypervisor.calls.values()))
        self.reconnect(driver)
        driver.get_host_offers()
        self.assertGreater(sum(self.hypervisor.calls.values()), before + 2)


class TopologyTest(base.FakeHostTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor.capabilities = CAPABILITIES

    def test_nodes_processors_and_pages(self) -> None:
        pair = frozenset((0, 1))
        self.assertEqual((
            host.HostCell(
                id=0, memory_kib=8192,
                cpus=(host.HostCpu(0, 0, pair), host.HostCpu(1, 0, pair)),
                pages=(host.PagePool(4, 1536), host.PagePool(2048, 1))),
            host.HostCell(
                id=1, memory_kib=0,
                cpus=(host.HostCpu(4, None, frozenset((4, 6))),), pages=())),
            self.make_driver().get_host_facts().cells)

    def cell(self, xml: str) -> host.HostCell:
        """Return the first node of a host whose second is well."""
        first = CAPABILITIES.index("<cell id='0'>")
        second = CAPABILITIES.index("<cell id='1'>")
        self.hypervisor.capabilities = (
            CAPABILITIES[:first] + xml + CAPABILITIES[second:])
        found = self.make_driver().get_host_facts().cells
        self.assertEqual(1, found[-1].id)
        return found[0]

    def test_every_unit_of_libvirt_is_known(self) -> None:
        for unit, size_bytes in (
                ('b', 1), ('bytes', 1), ('k', 1024), ('KiB', 1024),
                ('KB', 1000), ('kB', 1000), ('M', 1024 ** 2),
                ('MiB', 1024 ** 2), ('MB', 1000 ** 2), ('G', 1024 ** 3),
                ('GiB', 1024 ** 3), ('GB', 1000 ** 3), ('T', 1024 ** 4),
                ('TiB', 1024 ** 4), ('TB', 1000 ** 4), ('P', 1024 ** 5),
                ('PiB', 1024 ** 5), ('PB', 1000 ** 5), ('E', 1024 ** 6),
                ('EiB', 1024 ** 6), ('EB', 1000 ** 6)):
            cell = self.cell(
                f"<cell id='0'><memory unit='{unit}'>4096</memory></cell>")

            self.assertEqual(4 * size_bytes, cell.memory_kib, unit)

    def test_a_set_may_leave_out_some(self) -> None:
        cell = self.cell(
            "<cell id='0'><cpus><cpu id='0' siblings='0-3,^2'/></cpus>"
            "</cell>")

        self.assertEqual(frozenset((0, 1, 3)), cell.cpus[0].siblings)

    def test_an_odd_node_costs_itself_only(self) -> None:
        for xml in ("<cell id='x'/>",
                    "<cell id='0'><memory unit='ells'>1</memory></cell>",
                    "<cell id='0'><memory>much</memory></cell>",
                    "<cell id='0'><pages size='4'>few</pages></cell>",
                    "<cell id='0'><cpus><cpu id='0' siblings='0-9999999'/>"
                    "</cpus></cell>"):
            log = self.useFixture(fixtures.FakeLogger())

            self.assertEqual(1, self.cell(xml).id, xml)
            self.assertIn('Leaving out', log.output)

    def test_kinds_of_guests(self) -> None:
        self.assertEqual((
            host.GuestKind('x86_64', 'qemu', 'hvm', ('q35',)),
            host.GuestKind('x86_64', 'kvm', 'hvm', ('old',))),
            self.make_driver().get_host_facts().guest_kinds)

    def test_a_cpu_that_libvirt_cannot_expand(self) -> None:
        facts = self.make_driver().get_host_facts()

        self.assertEqual({'vmx'}, facts.cpu_features)
        self.assertEqual('Intel', facts.cpu_vendor)
        self.assertEqual(
            host.PhysicalAddresses('emulate', 48), facts.cpu_addresses)

    def test_times_of_the_cpus(self) -> None:
        self.assertEqual(
            host.CpuTimes(kernel_ns=1000, user_ns=2000, idle_ns=3000,
                          iowait_ns=4000, frequency_mhz=2400),
            self.make_driver().get_host_cpu_times())
