# SPDX-License-Identifier: Apache-2.0

import dataclasses

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators import base
from tests.unit.configurators import values

WINDOWS = device_spec.FeatureSpec(os_type=device_spec.OsType.WINDOWS)


class FeaturesTest(base.FacetTestCase):

    def test_translation_cache_is_for_emulation(self) -> None:
        policy = policy_spec.GuestPolicy(virt_type='kvm', tb_cache_mib=32)

        self.assertEqual(
            '32', self.build().findtext('features/tcg/tb-cache'))
        self.assertIsNone(self.build(
            host=values.KVM, policy=policy).find('features/tcg'))

    def test_only_kvm_enlightens_windows(self) -> None:
        kvm = self.build(
            host=values.KVM, policy=values.KVM_POLICY, features=WINDOWS)

        self.assertIsNotNone(kvm.find('features/hyperv/relaxed'))
        self.assertIsNone(
            self.build(features=WINDOWS).find('features/hyperv'))

    def test_a_hidden_hypervisor_has_another_name_for_windows(self) -> None:
        root = self.build(
            host=values.KVM, policy=values.KVM_POLICY,
            features=dataclasses.replace(WINDOWS, hide_hypervisor=True))

        self.assertEqual('on', self.attribute(
            root, 'features/hyperv/vendor_id', 'state'))

    def test_crash_dumps_can_be_read(self) -> None:
        self.assertIsNotNone(self.build().find('features/vmcoreinfo'))

    def test_pmu_is_left_to_libvirt_unless_asked_for(self) -> None:
        features = device_spec.FeatureSpec(pmu=True)

        self.assertIsNone(self.build().find('features/pmu'))
        self.assertEqual('on', self.attribute(
            self.build(features=features), 'features/pmu', 'state'))

    def test_arm_needs_acpi_and_has_no_apic(self) -> None:
        arm = boot_spec.BootSpec(arch='aarch64')

        self.assertIsNone(self.build(boot=arm).find('features/apic'))
        self.assertRaises(
            exception.InvalidRequest, self.build, boot=arm,
            features=device_spec.FeatureSpec(acpi=False))
