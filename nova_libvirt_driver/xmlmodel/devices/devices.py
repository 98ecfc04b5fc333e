# SPDX-License-Identifier: Apache-2.0

"""All devices of a domain."""

from collections.abc import Iterable
from collections.abc import Iterator

from nova_libvirt_driver.xmlmodel.devices import character
from nova_libvirt_driver.xmlmodel.devices import controller
from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel.devices import disk
from nova_libvirt_driver.xmlmodel.devices import graphics
from nova_libvirt_driver.xmlmodel.devices import hostdev
from nova_libvirt_driver.xmlmodel.devices import input
from nova_libvirt_driver.xmlmodel.devices import interface
from nova_libvirt_driver.xmlmodel.devices import iommu
from nova_libvirt_driver.xmlmodel.devices import memballoon
from nova_libvirt_driver.xmlmodel.devices import redirdev
from nova_libvirt_driver.xmlmodel.devices import rng
from nova_libvirt_driver.xmlmodel.devices import sound
from nova_libvirt_driver.xmlmodel.devices import tpm
from nova_libvirt_driver.xmlmodel.devices import video
from nova_libvirt_driver.xmlmodel.devices import vsock
from nova_libvirt_driver.xmlmodel.devices import watchdog
from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Devices(element.Element):
    """The devices."""

    TAG = 'devices'
    emulator = fields.Text('emulator')
    disks = fields.Children(disk.Disk)
    controllers = fields.Children(controller.Controller)
    interfaces = fields.Children(interface.Interface)
    serials = fields.Children(character.Serial)
    consoles = fields.Children(character.Console)
    channels = fields.Children(character.Channel)
    tpms = fields.Children(tpm.Tpm)
    inputs = fields.Children(input.Input)
    graphics = fields.Children(graphics.Graphics)
    videos = fields.Children(video.Video)
    sounds = fields.Children(sound.Sound)
    hostdevs = fields.Children(hostdev.Hostdev)
    redirdevs = fields.Children(redirdev.Redirdev)
    watchdogs = fields.Children(watchdog.Watchdog)
    memballoons = fields.Children(memballoon.Memballoon)
    rngs = fields.Children(rng.Rng)
    iommus = fields.Children(iommu.Iommu)
    vsocks = fields.Children(vsock.Vsock)

    def unmodelled(self, tags: Iterable[str]) -> list[device.Unmodelled]:
        """Return the devices of some kinds that the model does not know."""
        return [device.Unmodelled(node)
                for node in self.element.iterchildren(*tags)]

    def append(self, one: device.Device) -> None:
        """Add a device of any kind."""
        self.element.append(one.element)

    def addresses(self) -> Iterator[device.Address]:
        """Yield the places of all devices, also of unknown kinds."""
        node = self.peek()
        if node is not None:
            for found in node.iterfind('*/address'):
                yield device.Address(found)

    def boot_orders(self) -> list[int]:
        """Return the places in the order of booting, of any device."""
        return [int(found.get('order', '0'))
                for found in self.element.iterfind('*/boot')]
