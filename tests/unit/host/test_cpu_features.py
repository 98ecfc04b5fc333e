# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver.host import cpu_features
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.xmlmodel import capabilities
from tests import base

# Shapes of what libvirt answers for the CPU of one host. Libvirt 9 leaves
# out what the host lacks of the model, libvirt 11 lists it as disabled.
LIBVIRT_9 = """
<cpu>
  <arch>x86_64</arch>
  <model>Skylake-Client</model>
  <vendor>Intel</vendor>
  <feature policy='require' name='vmx'/>
  <feature policy='require' name='aes'/>
  <feature policy='force' name='sse2'/>
</cpu>
"""
LIBVIRT_11 = """
<cpu mode='custom' match='exact'>
  <arch>x86_64</arch>
  <model fallback='forbid'>Skylake-Client-v4</model>
  <vendor>Intel</vendor>
  <maxphysaddr mode='emulate' bits='46'/>
  <feature policy='require' name='vmx'/>
  <feature policy='require' name='aes'/>
  <feature policy='force' name='sse2'/>
  <feature policy='disable' name='mpx'/>
  <feature policy='disable' name='intel-pt'/>
  <feature policy='forbid' name='pku'/>
  <feature policy='optional' name='wbnoinvd'/>
</cpu>
"""
# That of a host has no policies.
HOST = """
<cpu>
  <arch>x86_64</arch>
  <model>Skylake-Client</model>
  <feature name='vmx'/>
</cpu>
"""


class ExpandedTest(base.TestCase):

    def expanded(
            self, answer: str | None, cpu: str = HOST) -> frozenset[str]:
        hypervisor = fake_libvirt.FakeHypervisor()
        hypervisor.baseline_cpu = answer
        return cpu_features.expanded(
            hypervisor.open_auth('fake:///', []),
            capabilities.HostCpu.parse(cpu))

    def test_what_libvirt_9_lists_is_there(self) -> None:
        self.assertEqual({'vmx', 'aes', 'sse2'}, self.expanded(LIBVIRT_9))

    def test_what_libvirt_11_lists_as_disabled_is_not(self) -> None:
        self.assertEqual({'vmx', 'aes', 'sse2'}, self.expanded(LIBVIRT_11))

    def test_a_feature_without_a_policy_is_there(self) -> None:
        self.assertEqual({'vmx'}, self.expanded(None))

    def test_policies_count_where_libvirt_cannot_expand(self) -> None:
        self.assertEqual(
            {'vmx', 'aes', 'sse2'}, self.expanded(None, LIBVIRT_11))

    def test_policies_count_without_a_model(self) -> None:
        cpu = capabilities.HostCpu.parse(LIBVIRT_11)
        cpu.model = None

        self.assertEqual(
            {'vmx', 'aes', 'sse2'}, self.expanded(HOST, cpu.to_xml()))

    def test_what_cannot_compare_takes_every_cpu(self) -> None:
        hypervisor = fake_libvirt.FakeHypervisor()
        connection = hypervisor.open_auth('fake:///', [])

        cpu_features.check(connection, '<cpu/>', 'qemu')
        # So does libvirt for what is not x86.
        hypervisor.fail_next(
            'compareHypervisorCPU', fake_libvirt.libvirt_error(
                libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
                libvirt.VIR_FROM_QEMU, 'not supported for arch'))
        cpu_features.check(connection, '<cpu/>', 'qemu')
        self.assertEqual(2, hypervisor.calls['compareHypervisorCPU'])
