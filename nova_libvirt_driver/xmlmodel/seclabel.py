# SPDX-License-Identifier: Apache-2.0

"""Labels that confine a domain."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Seclabel(element.Element):
    """The label of one security driver."""

    TAG = 'seclabel'
    type = fields.Text('@type')
    model = fields.Text('@model')
    relabel = fields.YesNo('@relabel')
    label = fields.Text('label')
    base_label = fields.Text('baselabel')
    image_label = fields.Text('imagelabel')
