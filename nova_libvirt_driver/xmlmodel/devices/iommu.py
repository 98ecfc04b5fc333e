# SPDX-License-Identifier: Apache-2.0

"""Virtual IOMMUs."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Iommu(element.Element):
    """A virtual IOMMU."""

    TAG = 'iommu'
    model = fields.Text('@model')
    intremap = fields.OnOff('driver/@intremap')
    caching_mode = fields.OnOff('driver/@caching_mode')
    eim = fields.OnOff('driver/@eim')
    iotlb = fields.OnOff('driver/@iotlb')
    aw_bits = fields.Integer('driver/@aw_bits')
