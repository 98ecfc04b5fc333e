# SPDX-License-Identifier: Apache-2.0

"""Sockets between guest and host."""

from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel import fields


class Vsock(device.Device):
    """A socket between guest and host."""

    TAG = 'vsock'
    model = fields.Text('@model')
    cid_auto = fields.YesNo('cid/@auto')
    cid_address = fields.Integer('cid/@address')
    driver_iommu = fields.OnOff('driver/@iommu')
