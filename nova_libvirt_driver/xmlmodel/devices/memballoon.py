# SPDX-License-Identifier: Apache-2.0

"""Memory balloons."""

from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel import fields


class Memballoon(device.Device):
    """The memory balloon."""

    TAG = 'memballoon'
    model = fields.Text('@model')
    autodeflate = fields.OnOff('@autodeflate')
    free_page_reporting = fields.OnOff('@freePageReporting')
    stats_period_s = fields.Integer('stats/@period')
    driver_iommu = fields.OnOff('driver/@iommu')
