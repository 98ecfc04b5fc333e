# SPDX-License-Identifier: Apache-2.0

"""All devices of a domain."""

from nova_libvirt_driver.xmlmodel.devices import character
from nova_libvirt_driver.xmlmodel.devices import controller
from nova_libvirt_driver.xmlmodel.devices import disk
from nova_libvirt_driver.xmlmodel.devices import graphics
from nova_libvirt_driver.xmlmodel.devices import interface
from nova_libvirt_driver.xmlmodel.devices import other
from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Devices(element.Element):
    """The devices."""

    TAG = 'devices'
    # Before "graphics", which hides the module of that name.
    videos = fields.Children(graphics.Video)
    emulator = fields.Text('emulator')
    disks = fields.Children(disk.Disk)
    controllers = fields.Children(controller.Controller)
    interfaces = fields.Children(interface.Interface)
    serials = fields.Children(character.Serial)
    consoles = fields.Children(character.Console)
    channels = fields.Children(character.Channel)
    tpms = fields.Children(other.Tpm)
    inputs = fields.Children(other.Input)
    graphics = fields.Children(graphics.Graphics)
    sounds = fields.Children(other.Sound)
    hostdevs = fields.Children(controller.Hostdev)
    redirdevs = fields.Children(controller.Redirdev)
    watchdogs = fields.Children(other.Watchdog)
    memballoons = fields.Children(other.Memballoon)
    rngs = fields.Children(other.Rng)
    iommus = fields.Children(other.Iommu)
    vsocks = fields.Children(other.Vsock)
