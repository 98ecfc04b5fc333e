# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import device as device_spec
from tests.unit.configurators import base
from tests.unit.configurators import values

WINDOWS = device_spec.FeatureSpec(os_type=device_spec.OsType.WINDOWS)


class ClockTest(base.FacetTestCase):

    def test_windows_wants_local_time(self) -> None:
        for features, offset in (
                (device_spec.FeatureSpec(), 'utc'), (WINDOWS, 'localtime')):
            root = self.build(features=features)
            self.assertEqual(
                offset, self.attribute(root, 'clock', 'offset'))

    def test_windows_on_kvm_has_its_own_timer(self) -> None:
        root = self.build(
            host=values.KVM, policy=values.KVM_POLICY, features=WINDOWS)

        self.assertIn({'name': 'hypervclock', 'present': 'yes'},
                      self.attributes(root, 'clock/timer'))
        self.assertNotIn('hypervclock', base.build(
            values.inputs(features=WINDOWS)))

    def test_hpet_is_there_when_asked_for(self) -> None:
        for wanted, word in ((True, 'yes'), (False, 'no')):
            root = self.build(
                host=values.KVM, policy=values.KVM_POLICY,
                features=device_spec.FeatureSpec(hpet=wanted))
            self.assertIn({'name': 'hpet', 'present': word},
                          self.attributes(root, 'clock/timer'))

    def test_only_kvm_has_such_timers_and_pcs_all_of_them(self) -> None:
        arm = self.build(host=values.KVM, policy=values.KVM_POLICY,
                         boot=boot_spec.BootSpec(arch='aarch64'))

        self.assertEqual(
            [], self.attributes(self.build(), 'clock/timer'))
        self.assertEqual(['pit', 'rtc'], [
            one['name'] for one in self.attributes(arm, 'clock/timer')])
