# SPDX-License-Identifier: Apache-2.0

"""Watchdogs."""

from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel import fields


class Watchdog(device.Device):
    """A watchdog."""

    TAG = 'watchdog'
    model = fields.Text('@model')
    action = fields.Text('@action')
