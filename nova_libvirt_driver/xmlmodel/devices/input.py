# SPDX-License-Identifier: Apache-2.0

"""Keyboards and pointers."""

from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel import fields


class Input(device.Device):
    """A keyboard or pointer."""

    TAG = 'input'
    type = fields.Text('@type')
    bus = fields.Text('@bus')
    model = fields.Text('@model')
