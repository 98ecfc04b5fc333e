# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import device as device_spec
from tests.unit.configurators import base
from tests.unit.configurators import values


class VideoTest(base.FacetTestCase):

    def card(self, graphics: console_spec.GraphicsSpec,
             cards: set[str]) -> str | None:
        root = self.build(host=values.graphics_host(set(), cards),
                          consoles=values.with_graphics(graphics))
        return self.attribute(root, 'devices/video/model', 'type')

    def test_card_fits_the_console_and_the_host(self) -> None:
        self.assertEqual('virtio', self.card(values.VNC, {'vga', 'virtio'}))
        self.assertEqual('virtio', self.card(values.SPICE, {'qxl', 'virtio'}))
        self.assertEqual('vga', self.card(values.SPICE, {'vga'}))

    def test_nobody_looks_at_a_card_without_console(self) -> None:
        self.assertIsNone(self.build().find('devices/video'))

    def test_card_may_be_unwanted(self) -> None:
        root = self.build(consoles=values.with_graphics(values.VNC),
                          devices=device_spec.DeviceSpec(video=None))

        self.assertEqual('none', self.attribute(
            root, 'devices/video/model', 'type'))

    def test_wrong_cards_are_refused(self) -> None:
        for error, card in (
                (exception.UnsupportedOperation,
                 device_spec.VideoSpec(model='voodoo')),
                (exception.InvalidRequest,
                 device_spec.VideoSpec(vram_mib=0)),
                (exception.InvalidRequest,
                 device_spec.VideoSpec(model='none', vram_mib=16))):
            self.refusal(error, consoles=values.with_graphics(values.VNC),
                         devices=device_spec.DeviceSpec(video=card))
