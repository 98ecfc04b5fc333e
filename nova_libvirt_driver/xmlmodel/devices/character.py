# SPDX-License-Identifier: Apache-2.0

"""Serial ports, consoles and channels."""

from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel import fields


class Character(device.Device):
    """What all devices of characters have."""

    type = fields.Text('@type')
    source_path = fields.Text('source/@path')
    source_mode = fields.Text('source/@mode')
    source_host = fields.Text('source/@host')
    source_service = fields.Text('source/@service')
    protocol = fields.Text('protocol/@type')
    log_file = fields.Text('log/@file')
    log_append = fields.OnOff('log/@append')
    target_type = fields.Text('target/@type')


class Serial(Character):
    """A serial port."""

    TAG = 'serial'
    target_port = fields.Integer('target/@port')


class Console(Character):
    """The console that a guest prints to."""

    TAG = 'console'
    target_port = fields.Integer('target/@port')
    tty = fields.Text('@tty')


class Channel(Character):
    """A private channel between guest and host."""

    TAG = 'channel'
    target_name = fields.Text('target/@name')
    target_state = fields.Text('target/@state')
