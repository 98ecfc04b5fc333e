# SPDX-License-Identifier: Apache-2.0

"""Secrets that libvirt keeps."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Secret(element.Element):
    """A secret, without its value."""

    TAG = 'secret'

    ephemeral = fields.YesNo('@ephemeral')
    private = fields.YesNo('@private')
    uuid = fields.Text('uuid')
    usage_type = fields.Text('usage/@type')
    usage_name = fields.Text('usage/name')
    usage_volume = fields.Text('usage/volume')
