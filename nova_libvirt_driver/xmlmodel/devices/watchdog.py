# SPDX-License-Identifier: Apache-2.0

"""Watchdogs."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Watchdog(element.Element):
    """A watchdog."""

    TAG = 'watchdog'
    model = fields.Text('@model')
    action = fields.Text('@action')
    alias = fields.Text('alias/@name')
