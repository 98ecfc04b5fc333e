# SPDX-License-Identifier: Apache-2.0

"""All devices of a domain, and those that a few lines describe."""

from collections.abc import Iterable
from collections.abc import Iterator

from nova_libvirt_driver.xmlmodel.devices import character
from nova_libvirt_driver.xmlmodel.devices import controller
from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel.devices import disk
from nova_libvirt_driver.xmlmodel.devices import graphics
from nova_libvirt_driver.xmlmodel.devices import interface
from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Tpm(device.Device):
    """A trusted platform module."""

    TAG = 'tpm'
    model = fields.Text('@model')
    backend_type = fields.Text('backend/@type')
    backend_version = fields.Text('backend/@version')
    encryption_secret_uuid = fields.Text('backend/encryption/@secret')


class Input(device.Device):
    """A keyboard or pointer."""

    TAG = 'input'
    type = fields.Text('@type')
    bus = fields.Text('@bus')
    model = fields.Text('@model')


class Video(device.Device):
    """A graphics card."""

    TAG = 'video'
    model = fields.Text('model/@type')
    vram_kib = fields.Integer('model/@vram')
    driver_iommu = fields.OnOff('driver/@iommu')


class Sound(device.Device):
    """A sound card."""

    TAG = 'sound'
    model = fields.Text('@model')


class Hostdev(device.Bootable):
    """A device of the host."""

    TAG = 'hostdev'
    mode = fields.Text('@mode')
    type = fields.Text('@type')
    model = fields.Text('@model')
    source_address = fields.Child('source/address', device.Address)


class Redirdev(device.Device):
    """A USB device that is redirected."""

    TAG = 'redirdev'
    bus = fields.Text('@bus')
    type = fields.Text('@type')


class Watchdog(device.Device):
    """A watchdog."""

    TAG = 'watchdog'
    model = fields.Text('@model')
    action = fields.Text('@action')


class Memballoon(device.Device):
    """The memory balloon."""

    TAG = 'memballoon'
    model = fields.Text('@model')
    autodeflate = fields.OnOff('@autodeflate')
    free_page_reporting = fields.OnOff('@freePageReporting')
    stats_period_s = fields.Integer('stats/@period')
    driver_iommu = fields.OnOff('driver/@iommu')


class Rng(device.Device):
    """A source of random numbers."""

    TAG = 'rng'
    model = fields.Text('@model')
    backend_model = fields.Text('backend/@model')
    backend = fields.Text('backend')
    rate_bytes = fields.Integer('rate/@bytes')
    rate_period_ms = fields.Integer('rate/@period')
    driver_iommu = fields.OnOff('driver/@iommu')


class Iommu(element.Element):
    """A virtual IOMMU."""

    TAG = 'iommu'
    model = fields.Text('@model')
    intremap = fields.OnOff('driver/@intremap')
    caching_mode = fields.OnOff('driver/@caching_mode')
    eim = fields.OnOff('driver/@eim')
    iotlb = fields.OnOff('driver/@iotlb')
    aw_bits = fields.Integer('driver/@aw_bits')


class Vsock(device.Device):
    """A socket between guest and host."""

    TAG = 'vsock'
    model = fields.Text('@model')
    cid_auto = fields.YesNo('cid/@auto')
    cid_address = fields.Integer('cid/@address')
    driver_iommu = fields.OnOff('driver/@iommu')


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
    tpms = fields.Children(Tpm)
    inputs = fields.Children(Input)
    graphics = fields.Children(graphics.Graphics)
    videos = fields.Children(Video)
    sounds = fields.Children(Sound)
    hostdevs = fields.Children(Hostdev)
    redirdevs = fields.Children(Redirdev)
    watchdogs = fields.Children(Watchdog)
    memballoons = fields.Children(Memballoon)
    rngs = fields.Children(Rng)
    iommus = fields.Children(Iommu)
    vsocks = fields.Children(Vsock)

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
