# SPDX-License-Identifier: Apache-2.0

"""Sound cards."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Sound(element.Element):
    """A sound card."""

    TAG = 'sound'
    model = fields.Text('@model')
    alias = fields.Text('alias/@name')
