# SPDX-License-Identifier: Apache-2.0

"""What the properties of images change in a guest."""

from nova_libvirt_driver import exception
from nova_libvirt_driver.images import properties
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.testing import specs
from tests import base


class PropertiesTest(base.TestCase):

    def test_every_property_changes_the_guest(self) -> None:
        values = {
            'hw_architecture': 'aarch64', 'hw_cdrom_bus': 'scsi',
            'hw_disk_bus': 'ide', 'hw_input_bus': 'virtio',
            'hw_firmware_type': 'uefi', 'hw_machine_type': 'q35',
            'hw_pointer_model': 'usbtablet', 'hw_rng_model': 'virtio',
            'hw_scsi_model': 'virtio-scsi', 'hw_sound_model': 'ich9',
            'hw_tpm_model': 'tpm-tis', 'hw_tpm_version': '1.2',
            'hw_video_model': 'virtio', 'hw_vif_model': 'e1000',
            'hw_viommu_model': 'intel', 'hw_watchdog_action': 'reset',
            'kernel_id': 'x', 'ramdisk_id': 'x', 'os_command_line': 'x',
            'os_secure_boot': 'required', 'os_type': 'windows'}
        before = specs.guest_spec(
            'a', nics=(nic_spec.NicSpec(mac='52:54:00:00:00:01'),))

        for name in properties.CHANGES:
            with self.subTest(name=name):
                value = values.get(name, 'yes')

                self.assertNotEqual(
                    before, properties.apply(before, {name: value}))

    def test_a_property_that_is_not_known_changes_nothing(self) -> None:
        before = specs.guest_spec('a')

        self.assertEqual(before, properties.apply(
            before, {'owner_specified.openstack.md5': 'x'}))

    def test_a_wrong_value_is_an_error(self) -> None:
        error = self.assertRaises(
            exception.InvalidRequest, properties.apply,
            specs.guest_spec('a'), {'hw_tpm_version': '3'})

        self.assertIn('hw_tpm_version', str(error))
