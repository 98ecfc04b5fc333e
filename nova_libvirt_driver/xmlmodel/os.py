# SPDX-License-Identifier: Apache-2.0

"""What a domain starts from."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class FirmwareFeature(element.Element):
    """A feature that the firmware must have, or not."""

    TAG = 'feature'
    enabled = fields.YesNo('@enabled')
    name = fields.Text('@name')


class Boot(element.Element):
    """A kind of device to start from."""

    TAG = 'boot'
    dev = fields.Text('@dev')


class Os(element.Element):
    """What the domain starts from."""

    TAG = 'os'
    firmware = fields.Text('@firmware')
    type = fields.Text('type')
    arch = fields.Text('type/@arch')
    machine = fields.Text('type/@machine')
    firmware_features = fields.Children(FirmwareFeature, 'firmware')
    loader = fields.Text('loader')
    loader_readonly = fields.YesNo('loader/@readonly')
    loader_secure = fields.YesNo('loader/@secure')
    loader_type = fields.Text('loader/@type')
    loader_stateless = fields.YesNo('loader/@stateless')
    nvram = fields.Text('nvram')
    kernel = fields.Text('kernel')
    initrd = fields.Text('initrd')
    cmdline = fields.Text('cmdline')
    boots = fields.Children(Boot)
    bootmenu_enable = fields.YesNo('bootmenu/@enable')
    smbios_mode = fields.Text('smbios/@mode')


class Entry(element.Element):
    """One entry of the firmware tables."""

    TAG = 'entry'
    name = fields.Text('@name')
    value = fields.Text('.')


class Sysinfo(element.Element):
    """What the firmware tables say."""

    TAG = 'sysinfo'
    type = fields.Text('@type')
    system_entries = fields.Children(Entry, 'system')
