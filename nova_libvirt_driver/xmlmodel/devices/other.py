# SPDX-License-Identifier: Apache-2.0

"""Devices with few fields."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Input(element.Element):
    """A keyboard or pointer."""

    TAG = 'input'
    type = fields.Text('@type')
    bus = fields.Text('@bus')
    model = fields.Text('@model')
    alias = fields.Text('alias/@name')


class Rng(element.Element):
    """A source of random numbers."""

    TAG = 'rng'
    model = fields.Text('@model')
    backend_model = fields.Text('backend/@model')
    backend = fields.Text('backend')
    rate_bytes = fields.Integer('rate/@bytes')
    rate_period_ms = fields.Integer('rate/@period')
    driver_iommu = fields.OnOff('driver/@iommu')
    alias = fields.Text('alias/@name')


class Watchdog(element.Element):
    """A watchdog."""

    TAG = 'watchdog'
    model = fields.Text('@model')
    action = fields.Text('@action')
    alias = fields.Text('alias/@name')


class Memballoon(element.Element):
    """The memory balloon."""

    TAG = 'memballoon'
    model = fields.Text('@model')
    autodeflate = fields.OnOff('@autodeflate')
    free_page_reporting = fields.OnOff('@freePageReporting')
    stats_period_s = fields.Integer('stats/@period')
    driver_iommu = fields.OnOff('driver/@iommu')
    alias = fields.Text('alias/@name')


class Tpm(element.Element):
    """A trusted platform module."""

    TAG = 'tpm'
    model = fields.Text('@model')
    backend_type = fields.Text('backend/@type')
    backend_version = fields.Text('backend/@version')
    persistent_state = fields.YesNo('backend/@persistent_state')
    encryption_secret_uuid = fields.Text('backend/encryption/@secret')
    alias = fields.Text('alias/@name')


class Sound(element.Element):
    """A sound card."""

    TAG = 'sound'
    model = fields.Text('@model')
    alias = fields.Text('alias/@name')


class Iommu(element.Element):
    """A virtual IOMMU."""

    TAG = 'iommu'
    model = fields.Text('@model')
    intremap = fields.OnOff('driver/@intremap')
    caching_mode = fields.OnOff('driver/@caching_mode')
    eim = fields.OnOff('driver/@eim')
    iotlb = fields.OnOff('driver/@iotlb')
    aw_bits = fields.Integer('driver/@aw_bits')


class Vsock(element.Element):
    """A socket between guest and host."""

    TAG = 'vsock'
    model = fields.Text('@model')
    cid_auto = fields.YesNo('cid/@auto')
    cid_address = fields.Integer('cid/@address')
    driver_iommu = fields.OnOff('driver/@iommu')
    alias = fields.Text('alias/@name')
