# SPDX-License-Identifier: Apache-2.0

"""Controllers and what only connects."""

from nova_libvirt_driver.xmlmodel.devices import address
from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Controller(element.Element):
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
    pcihole64_kib = fields.Integer('pcihole64')
    target_chassis = fields.Integer('target/@chassis')
    target_port = fields.Text('target/@port')
    alias = fields.Text('alias/@name')
    address = fields.Child('address', address.Address)


class Redirdev(element.Element):
    """A USB device that is redirected."""

    TAG = 'redirdev'
    bus = fields.Text('@bus')
    type = fields.Text('@type')
    alias = fields.Text('alias/@name')


class Hostdev(element.Element):
    """A device of the host."""

    TAG = 'hostdev'
    mode = fields.Text('@mode')
    type = fields.Text('@type')
    managed = fields.YesNo('@managed')
    model = fields.Text('@model')
    source_address = fields.Child('source/address', address.Address)
    alias = fields.Text('alias/@name')
    address = fields.Child('address', address.Address)
