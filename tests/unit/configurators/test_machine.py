# SPDX-License-Identifier: Apache-2.0

import dataclasses
from typing import Any

from nova_libvirt_driver.configurators import machine
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators import base
from tests.unit.configurators import values

UEFI = boot_spec.Firmware.UEFI


def boot(**fields: Any) -> boot_spec.BootSpec:
    return boot_spec.BootSpec(**fields)


class MachineTest(base.FacetTestCase):

    def machine(self, **changes: Any) -> str | None:
        node = self.build(**changes).find('os/type')
        assert node is not None
        return node.get('machine')

    def test_version_of_the_machine_is_recorded(self) -> None:
        self.assertEqual('pc-i440fx-7.2', self.machine())
        self.assertEqual('pc-q35-7.2', self.machine(
            host=values.Q35, boot=boot(machine='q35')))

    def test_request_comes_before_policy(self) -> None:
        policy = policy_spec.GuestPolicy(machine_types={'x86_64': 'q35'})

        self.assertEqual('pc-q35-6.0', self.machine(
            policy=policy, boot=boot(machine='pc-q35-6.0')))
        self.assertEqual('q35', self.machine(policy=policy))

    def test_capabilities_of_another_machine_name_no_version(self) -> None:
        self.assertEqual('q35', self.machine(boot=boot(machine='q35')))
        self.assertEqual('microvm', self.machine(
            boot=boot(machine='microvm')))

    def test_need_chooses_the_machine_to_ask_for(self) -> None:
        policy = policy_spec.GuestPolicy()
        iommu = device_spec.DeviceSpec(iommu=device_spec.IommuSpec())

        self.assertEqual('pc', machine.wanted(
            values.guest(), policy, 'x86_64'))
        self.assertEqual('q35', machine.wanted(
            values.guest(boot=boot(firmware=UEFI, secure_boot=True)),
            policy, 'x86_64'))
        self.assertEqual('q35', machine.wanted(
            values.guest(devices=iommu), policy, 'x86_64'))
        self.assertEqual('virt', machine.wanted(
            values.guest(), policy, 'aarch64'))
        self.assertEqual('', machine.wanted(
            values.guest(), policy, 's390x'))

    def test_machine_that_nobody_knows_is_left_to_libvirt(self) -> None:
        host = dataclasses.replace(values.IN_PROCESS, arch='s390x')
        uefi = boot(firmware=UEFI)

        self.assertIsNone(self.machine(host=host, boot=uefi))

    def test_a_name_stands_for_its_versions(self) -> None:
        for found, name, expected in (
                ('pc-i440fx-7.2', 'pc', True), ('pc-q35-7.2', 'q35', True),
                ('pc-q35-rhel9.2.0', 'q35', True), ('virt-7.2', 'virt', True),
                ('pc-q35-7.2', '', True), ('pc-q35-7.2', 'pc', False),
                ('pc-q35-7.2', 'pc-q35-8.0', False),
                ('s390-ccw-virtio-7.2', 's390-ccw-virtio', True)):
            self.assertIs(expected, machine.is_version_of(found, name))
