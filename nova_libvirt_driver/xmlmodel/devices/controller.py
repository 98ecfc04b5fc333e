# SPDX-License-Identifier: Apache-2.0

"""Controllers of buses."""

from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel import fields


class Controller(device.Device):
    """A controller of some bus."""

    TAG = 'controller'
    type = fields.Text('@type')
    index = fields.Integer('@index')
    model = fields.Text('@model')
    ports = fields.Integer('@ports')
    driver_queues = fields.Integer('driver/@queues')
    driver_iommu = fields.OnOff('driver/@iommu')
    target_port = fields.Text('target/@port')
