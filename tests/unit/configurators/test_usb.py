# SPDX-License-Identifier: Apache-2.0

from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import device as device_spec
from tests.unit.configurators import base
from tests.unit.configurators import values


def devices(**fields: Any) -> device_spec.DeviceSpec:
    return device_spec.DeviceSpec(**fields)


class UsbTest(base.FacetTestCase):

    def test_unwanted_controller_is_left_out(self) -> None:
        root = self.build(devices=devices(usb_controller=False))

        self.assertEqual(
            [{'type': 'usb', 'index': '0', 'model': 'none'}],
            self.attributes(root, 'devices/controller'))

    def test_controller_with_enough_ports_is_chosen(self) -> None:
        root = self.build(disks=(values.file_disk('sda', 'usb'),))

        self.assertEqual('qemu-xhci', self.attribute(
            root, 'devices/controller', 'model'))

    def test_needed_controller_cannot_be_unwanted(self) -> None:
        self.assertIn('sda', self.refusal(
            exception.InvalidRequest,
            disks=(values.file_disk('sda', 'usb'),),
            devices=devices(usb_controller=False)))
        self.assertIn('redirected', self.refusal(
            exception.InvalidRequest,
            devices=devices(usb_controller=False, usb_redirections=1)))
