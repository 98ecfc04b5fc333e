# SPDX-License-Identifier: Apache-2.0

"""USB devices that a console redirects."""

from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel import fields


class Redirdev(device.Device):
    """A USB device that is redirected."""

    TAG = 'redirdev'
    bus = fields.Text('@bus')
    type = fields.Text('@type')
