# SPDX-License-Identifier: Apache-2.0

"""Sources of random numbers."""

from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel import fields


class Rng(device.Device):
    """A source of random numbers."""

    TAG = 'rng'
    model = fields.Text('@model')
    backend_model = fields.Text('backend/@model')
    backend = fields.Text('backend')
    rate_bytes = fields.Integer('rate/@bytes')
    rate_period_ms = fields.Integer('rate/@period')
    driver_iommu = fields.OnOff('driver/@iommu')
