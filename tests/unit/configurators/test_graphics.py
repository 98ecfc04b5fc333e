# SPDX-License-Identifier: Apache-2.0

import dataclasses

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import console as console_spec
from tests.unit.configurators import base
from tests.unit.configurators import values


class GraphicsTest(base.FacetTestCase):

    def test_libvirt_chooses_the_port(self) -> None:
        root = self.build(consoles=values.with_graphics(values.VNC))

        [found] = self.attributes(root, 'devices/graphics')
        self.assertEqual(('-1', 'yes', '127.0.0.1'), (
            found['port'], found['autoport'], found['listen']))

    def test_spice_has_a_channel_for_its_agent(self) -> None:
        root = self.build(consoles=values.with_graphics(values.SPICE))

        self.assertEqual(
            [{'type': 'virtio', 'name': 'com.redhat.spice.0'}],
            self.attributes(root, 'devices/channel/target'))

    def test_console_that_qemu_lacks_is_refused(self) -> None:
        self.assertIn('spice', self.refusal(
            exception.UnsupportedOperation,
            host=values.graphics_host({'vnc'}, set()),
            consoles=values.with_graphics(values.SPICE)))

    def test_two_consoles_of_a_kind_are_refused(self) -> None:
        self.assertRaises(
            exception.InvalidRequest, self.build,
            consoles=values.with_graphics(values.VNC, values.VNC))

    def test_nothing_of_a_secure_one_is_in_plain_text(self) -> None:
        console = dataclasses.replace(
            values.SPICE,
            spice=console_spec.SpiceSpec(secure=True, agent=False))

        root = self.build(consoles=values.with_graphics(console))

        channels = self.attributes(root, 'devices/graphics/channel')
        self.assertEqual({'secure'}, {one['mode'] for one in channels})
        self.assertEqual(
            {'main', 'display', 'inputs', 'cursor', 'playback', 'record',
             'smartcard', 'usbredir'}, {one['name'] for one in channels})
        self.assertEqual([], self.attributes(root, 'devices/channel/target'))
