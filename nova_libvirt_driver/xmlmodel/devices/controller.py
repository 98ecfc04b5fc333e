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
    vectors = fields.Integer('@vectors')
    driver_queues = fields.Integer('driver/@queues')
    driver_iothread = fields.Integer('driver/@iothread')
    driver_iommu = fields.OnOff('driver/@iommu')
    pcihole64_kib = fields.Size('pcihole64')
    target_chassis = fields.Integer('target/@chassis')
    target_port = fields.Text('target/@port')
