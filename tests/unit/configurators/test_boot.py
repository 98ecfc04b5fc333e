# SPDX-License-Identifier: Apache-2.0

import dataclasses
from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import capabilities as capabilities_spec
from tests.unit.configurators import base
from tests.unit.configurators import values

UEFI = boot_spec.Firmware.UEFI


def boot(**fields: Any) -> boot_spec.BootSpec:
    return boot_spec.BootSpec(**fields)


def lacking(**fields: Any) -> capabilities_spec.GuestHost:
    """Return a host with other capabilities."""
    return dataclasses.replace(values.Q35, capabilities=dataclasses.replace(
        values.Q35_CAPABILITIES, **fields))


class FirmwareTest(base.FacetTestCase):

    def test_plain_uefi_asks_for_firmware_without_secure_boot(self) -> None:
        root = self.build(boot=boot(firmware=UEFI))

        self.assertEqual(
            [{'enabled': 'no', 'name': 'enrolled-keys'},
             {'enabled': 'no', 'name': 'secure-boot'}],
            self.attributes(root, 'os/firmware/feature'))
        self.assertIsNone(root.find('features/smm'))

    def test_secure_boot_needs_system_management_mode(self) -> None:
        root = self.build(
            host=values.Q35, boot=boot(firmware=UEFI, secure_boot=True))

        self.assertEqual([{'secure': 'yes'}],
                         self.attributes(root, 'os/loader'))
        self.assertEqual([{'state': 'on'}],
                         self.attributes(root, 'features/smm'))

    def test_bios_has_no_secure_boot(self) -> None:
        self.assertIn('needs UEFI', self.refusal(
            exception.InvalidRequest, boot=boot(secure_boot=True)))

    def test_a_bios_has_no_state_anyhow(self) -> None:
        root = self.build(boot=boot(stateless_firmware=True))

        self.assertIsNone(root.find('os/loader'))
        self.assertIsNone(self.attribute(root, 'os', 'firmware'))

    def test_host_without_firmware_is_told(self) -> None:
        self.assertIn('UEFI', self.refusal(
            exception.UnsupportedOperation, host=lacking(uefi=False),
            boot=boot(firmware=UEFI)))
        self.assertIn('secure boot', self.refusal(
            exception.UnsupportedOperation, host=lacking(secure_boot=False),
            boot=boot(firmware=UEFI, secure_boot=True)))

    def test_secure_boot_needs_a_machine_for_it(self) -> None:
        self.assertIn('q35', self.refusal(
            exception.UnsupportedOperation,
            host=values.Q35, boot=boot(
                machine='pc', firmware=UEFI, secure_boot=True)))

    def test_stateless_firmware_is_unsigned_firmware(self) -> None:
        root = self.build(host=values.Q35, boot=boot(
            firmware=UEFI, stateless_firmware=True))

        self.assertEqual('/usr/share/OVMF/OVMF_CODE_4M.fd',
                         root.findtext('os/loader'))
        self.assertIsNone(self.attribute(root, 'os', 'firmware'))

    def test_stateless_firmware_may_be_missing(self) -> None:
        stateless = boot(firmware=UEFI, stateless_firmware=True)
        for host in (lacking(stateless_firmware=False),
                     lacking(loaders=('/firmware/secboot.fd',))):
            self.assertRaises(exception.UnsupportedOperation, self.build,
                              host=host, boot=stateless)

    def test_stateless_firmware_keeps_no_keys(self) -> None:
        self.assertIn('keys', self.refusal(
            exception.InvalidRequest, host=values.Q35, boot=boot(
                firmware=UEFI, stateless_firmware=True, secure_boot=True)))

    def test_some_machines_have_firmware_of_their_own(self) -> None:
        for arch in ('ppc64le', 's390x', 'mipsel'):
            with self.subTest(arch=arch):
                root = self.build(
                    host=lacking(uefi=False), boot=boot(arch=arch))

                self.assertIsNone(self.attribute(root, 'os', 'firmware'))
                self.assertIsNone(root.find('features/acpi'))
                # QEMU does not start with tables that it cannot make.
                self.assertIsNone(root.find('os/smbios'))
                self.assertIsNone(root.find('sysinfo'))

    def test_some_machines_have_no_bios(self) -> None:
        self.assertRaises(
            exception.UnsupportedOperation, self.build, boot=boot(
                arch='aarch64', firmware=boot_spec.Firmware.BIOS))


class KernelTest(base.FacetTestCase):

    def test_kernel_may_come_alone(self) -> None:
        root = self.build(boot=boot(
            kernel=boot_spec.KernelBoot(kernel='/k')))

        self.assertEqual('/k', root.findtext('os/kernel'))
        self.assertIsNone(root.find('os/initrd'))
        self.assertIsNone(root.find('os/cmdline'))

    def test_relative_paths_are_refused(self) -> None:
        for wrong in (boot_spec.KernelBoot(kernel='k'),
                      boot_spec.KernelBoot(kernel='/k', initrd='../i')):
            self.assertRaises(exception.InvalidRequest, self.build,
                              boot=boot(kernel=wrong))

    def test_a_kernel_of_an_image_is_told_where_its_root_is(self) -> None:
        for own, expected in (
                ('', 'root=/dev/vda console=tty0 console=ttyS0 '
                 'console=hvc0 no_timer_check'), ('quiet', 'quiet')):
            root = self.build(boot=boot(
                kernel_image_id='image-1', kernel=boot_spec.KernelBoot(
                    kernel='/k', cmdline=own)))

            self.assertEqual(expected, root.findtext('os/cmdline'))

    def test_kernel_that_was_not_fetched_is_not_forgotten(self) -> None:
        self.assertRaises(exception.InvalidRequest, self.build,
                          boot=boot(kernel_image_id='image-1'))
