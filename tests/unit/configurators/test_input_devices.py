# SPDX-License-Identifier: Apache-2.0

import dataclasses

from lxml import etree

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import device as device_spec
from tests.unit.configurators import base

VNC = console_spec.GraphicsSpec(kind=console_spec.GraphicsKind.VNC)
SPICE = console_spec.GraphicsSpec(kind=console_spec.GraphicsKind.SPICE)


def with_graphics(
        *graphics: console_spec.GraphicsSpec) -> console_spec.ConsoleSpec:
    return console_spec.ConsoleSpec(graphics=graphics)


class InputTest(base.FacetTestCase):

    def inputs_of(self, root: etree._Element) -> list[dict[str, str]]:
        return self.attributes(root, 'devices/input')

    def test_vnc_has_a_pointer_with_absolute_positions(self) -> None:
        self.assertEqual(
            [{'type': 'tablet', 'bus': 'usb'}],
            self.inputs_of(self.build(consoles=with_graphics(VNC))))
        self.assertEqual([], self.inputs_of(
            self.build(consoles=with_graphics(SPICE))))

    def test_no_pointer_without_a_bus_for_it(self) -> None:
        plain = device_spec.DeviceSpec(usb_controller=False)

        self.assertEqual([], self.inputs_of(self.build(
            consoles=with_graphics(VNC), devices=plain)))
        self.assertIn('USB tablet', self.refusal(
            exception.InvalidRequest, devices=dataclasses.replace(
                plain, pointer='usbtablet')))

    def test_arm_gets_a_keyboard(self) -> None:
        root = self.build(boot=boot_spec.BootSpec(arch='aarch64'),
                          consoles=with_graphics(VNC))

        self.assertIn({'type': 'keyboard', 'bus': 'usb'},
                      self.inputs_of(root))

    def test_unknown_pointer_is_refused(self) -> None:
        self.assertIn('ps2mouse', self.refusal(
            exception.InvalidRequest,
            devices=device_spec.DeviceSpec(pointer='trackball')))
