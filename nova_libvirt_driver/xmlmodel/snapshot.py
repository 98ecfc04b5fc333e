# SPDX-License-Identifier: Apache-2.0

"""Snapshots of disks."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class SnapshotDisk(element.Element):
    """What is to become of one disk."""

    TAG = 'disk'
    name = fields.Text('@name')
    snapshot = fields.Text('@snapshot')
    type = fields.Text('@type')
    driver_type = fields.Text('driver/@type')
    source_file = fields.Text('source/@file')


class DomainSnapshot(element.Element):
    """A snapshot of some disks of a domain."""

    TAG = 'domainsnapshot'
    disks = fields.Children(SnapshotDisk, 'disks')
