# SPDX-License-Identifier: Apache-2.0

"""Sound cards."""

from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel import fields


class Sound(device.Device):
    """A sound card."""

    TAG = 'sound'
    model = fields.Text('@model')
