# SPDX-License-Identifier: Apache-2.0

from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import memory as memory_spec
from tests.unit.configurators import base
from tests.unit.configurators import values


def devices(**fields: Any) -> device_spec.DeviceSpec:
    return device_spec.DeviceSpec(**fields)


class EncryptionTest(base.FacetTestCase):

    MEMORY = memory_spec.MemorySpec(size_mib=64, encrypted=True)
    UEFI = boot_spec.BootSpec(firmware=boot_spec.Firmware.UEFI)

    def test_devices_of_an_encrypted_guest_see_what_they_may(self) -> None:
        root = self.build(
            host=values.KVM, policy=values.KVM_POLICY, boot=self.UEFI,
            memory=self.MEMORY, devices=devices(rng=device_spec.RngSpec()))

        self.assertEqual(
            {'disk', 'memballoon', 'rng'},
            {node.tag for node in root.iterfind('devices/*')
             if node.find("driver[@iommu='on']") is not None})
        self.assertIsNotNone(root.find('memoryBacking/locked'))

    def test_host_without_it_is_told(self) -> None:
        self.assertIn('SEV', self.refusal(
            exception.UnsupportedOperation, host=values.Q35,
            boot=self.UEFI, memory=self.MEMORY))

    def test_it_needs_uefi(self) -> None:
        self.assertIn('UEFI', self.refusal(
            exception.InvalidRequest, host=values.KVM, memory=self.MEMORY))
