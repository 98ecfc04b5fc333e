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

    def test_what_a_device_needs_is_left_to_libvirt(self) -> None:
        root = self.build(disks=(values.file_disk('sda', 'usb'),),
                          devices=devices(usb_model='nec-xhci'))

        self.assertEqual([{'type': 'usb', 'index': '0'}],
                         self.attributes(root, 'devices/controller'))

    def test_a_model_may_be_asked_for(self) -> None:
        for model in ('', 'qemu-xhci'):
            root = self.build(devices=devices(usb_model=model))

            self.assertEqual(model or 'none', self.attribute(
                root, 'devices/controller', 'model'))

    def test_needed_controller_cannot_be_unwanted(self) -> None:
        self.assertIn('sda', self.refusal(
            exception.InvalidRequest,
            disks=(values.file_disk('sda', 'usb'),),
            devices=devices(usb_controller=False)))
        self.assertIn('redirected', self.refusal(
            exception.InvalidRequest,
            devices=devices(usb_controller=False, usb_redirections=1)))
