# SPDX-License-Identifier: Apache-2.0

"""Keyboards and pointers."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Input(element.Element):
    """A keyboard or pointer."""

    TAG = 'input'
    type = fields.Text('@type')
    bus = fields.Text('@bus')
    model = fields.Text('@model')
    alias = fields.Text('alias/@name')
