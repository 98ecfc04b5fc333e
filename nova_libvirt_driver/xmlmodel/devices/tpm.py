# SPDX-License-Identifier: Apache-2.0

"""Trusted platform modules."""

from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel import fields


class Tpm(device.Device):
    """A trusted platform module."""

    TAG = 'tpm'
    model = fields.Text('@model')
    backend_type = fields.Text('backend/@type')
    backend_version = fields.Text('backend/@version')
    persistent_state = fields.YesNo('backend/@persistent_state')
    encryption_secret_uuid = fields.Text('backend/encryption/@secret')
