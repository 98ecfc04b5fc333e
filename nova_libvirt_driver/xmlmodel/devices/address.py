# SPDX-License-Identifier: Apache-2.0

"""Addresses and other parts that many devices have."""

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
    multifunction = fields.OnOff('@multifunction')
