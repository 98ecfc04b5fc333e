# SPDX-License-Identifier: Apache-2.0

"""Devices of the host."""

from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel import fields


class Hostdev(device.Bootable):
    """A device of the host."""

    TAG = 'hostdev'
    mode = fields.Text('@mode')
    type = fields.Text('@type')
    managed = fields.YesNo('@managed')
    model = fields.Text('@model')
    source_address = fields.Child('source/address', device.Address)
