# SPDX-License-Identifier: Apache-2.0

import dataclasses
from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import device as device_spec
from tests.unit.configurators import base
from tests.unit.configurators import values


def devices(**fields: Any) -> device_spec.DeviceSpec:
    return device_spec.DeviceSpec(**fields)


class IommuTest(base.FacetTestCase):

    def test_extended_mode_needs_kvm(self) -> None:
        iommu = devices(iommu=device_spec.IommuSpec())
        for word, host, policy in (
                ('off', values.Q35, values.QEMU_POLICY),
                ('on', values.KVM, values.KVM_POLICY)):
            root = self.build(host=host, policy=policy, devices=iommu)
            self.assertEqual(word, self.attribute(
                root, 'devices/iommu/driver', 'eim'))
            self.assertEqual('qemu', self.attribute(
                root, 'features/ioapic', 'driver'))

    def test_machine_must_fit_the_model(self) -> None:
        for model, machine in (
                ('intel', 'pc'), ('virtio', 'pc'), ('smmuv3', 'q35')):
            self.assertIn(model, self.refusal(
                exception.UnsupportedOperation,
                boot=boot_spec.BootSpec(machine=machine),
                devices=devices(iommu=device_spec.IommuSpec(model=model))))

    def test_old_libvirt_lacks_virtio(self) -> None:
        old = dataclasses.replace(values.Q35, libvirt_version=8_002_000)

        self.assertIn('8.3', self.refusal(
            exception.UnsupportedOperation, host=old, devices=devices(
                iommu=device_spec.IommuSpec(model='virtio'))))

    def test_the_suitable_model_is_chosen(self) -> None:
        for version, model in ((8_003_000, 'virtio'), (8_002_000, 'intel')):
            root = self.build(
                host=dataclasses.replace(
                    values.Q35, libvirt_version=version),
                devices=devices(iommu=device_spec.IommuSpec(model='auto')))

            self.assertEqual(
                model, self.attribute(root, 'devices/iommu', 'model'))
