# SPDX-License-Identifier: Apache-2.0

"""Graphics cards."""

from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel import fields


class Video(device.Device):
    """A graphics card."""

    TAG = 'video'
    model = fields.Text('model/@type')
    vram_kib = fields.Integer('model/@vram')
    ram_kib = fields.Integer('model/@ram')
    heads = fields.Integer('model/@heads')
    primary = fields.YesNo('model/@primary')
    driver_iommu = fields.OnOff('driver/@iommu')
