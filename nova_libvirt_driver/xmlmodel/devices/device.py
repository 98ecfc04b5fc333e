# SPDX-License-Identifier: Apache-2.0

"""What all devices have."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Address(element.Element):
    """Where a device is on its bus."""

    TAG = 'address'
    type = fields.Text('@type')
    domain = fields.Text('@domain')
    bus = fields.Text('@bus')
    slot = fields.Text('@slot')
    function = fields.Text('@function')
    controller = fields.Integer('@controller')
    target = fields.Integer('@target')
    unit = fields.Integer('@unit')
    port = fields.Text('@port')
    uuid = fields.Text('@uuid')


class Device(element.Element):
    """A device of a domain."""

    alias = fields.Text('alias/@name')
    address = fields.Child('address', Address)


class Bootable(Device):
    """A device that a guest may be able to start from."""

    boot_order = fields.Integer('boot/@order')


class Unmodelled(Bootable):
    """A device of a kind that the model does not know."""

    type = fields.Text('@type')
    model = fields.Text('@model')
    source_path = fields.Text('source/path')
    source_dir = fields.Text('source/@dir')
