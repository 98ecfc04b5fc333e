# SPDX-License-Identifier: Apache-2.0

"""Guests that differ in how they start."""

import dataclasses

from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators import values

UEFI = boot_spec.BootSpec(firmware=boot_spec.Firmware.UEFI)

SCENARIOS = {
    'boot-menu': values.inputs(boot=boot_spec.BootSpec(
        firmware=boot_spec.Firmware.BIOS, menu=True)),
    'boot-uefi': values.inputs(boot=UEFI),
    'boot-secure': values.inputs(
        host=values.Q35, boot=dataclasses.replace(UEFI, secure_boot=True)),
    'boot-secure-if-possible': values.inputs(
        host=values.Q35,
        boot=dataclasses.replace(
            UEFI, machine='q35', secure_boot_if_possible=True)),
    'boot-stateless': values.inputs(
        boot=dataclasses.replace(UEFI, stateless_firmware=True)),
    'boot-kernel': values.inputs(boot=boot_spec.BootSpec(
        kernel=boot_spec.KernelBoot(
            kernel=f'{values.FOLDER}/kernel',
            initrd=f'{values.FOLDER}/ramdisk',
            cmdline='console=ttyS0 quiet'))),
    'boot-q35': values.inputs(
        host=values.Q35, boot=boot_spec.BootSpec(machine='q35'),
        policy=policy_spec.GuestPolicy(tb_cache_mib=32, pcie_ports=4)),
    'boot-policy-machine': values.inputs(
        host=values.Q35, policy=policy_spec.GuestPolicy(
            machine_types={'x86_64': 'q35'})),
    'boot-aarch64': values.inputs(
        host=dataclasses.replace(
            values.PC, capabilities=dataclasses.replace(
                values.PC_CAPABILITIES, arch='aarch64',
                machine='virt-7.2')),
        boot=boot_spec.BootSpec(arch='aarch64')),
}
