# SPDX-License-Identifier: Apache-2.0

"""Serial ports, consoles and channels."""

from nova_libvirt_driver.xmlmodel.devices import address
from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Serial(element.Element):
    """A serial port."""

    TAG = 'serial'
    type = fields.Text('@type')
    source_path = fields.Text('source/@path')
    source_mode = fields.Text('source/@mode')
    source_host = fields.Text('source/@host')
    source_service = fields.Integer('source/@service')
    source_append = fields.OnOff('source/@append')
    protocol = fields.Text('protocol/@type')
    log_file = fields.Text('log/@file')
    log_append = fields.OnOff('log/@append')
    target_type = fields.Text('target/@type')
    target_port = fields.Integer('target/@port')
    target_name = fields.Text('target/@name')
    target_model = fields.Text('target/model/@name')
    alias = fields.Text('alias/@name')


class Console(element.Element):
    """The console that a guest prints to."""

    TAG = 'console'
    type = fields.Text('@type')
    source_path = fields.Text('source/@path')
    source_mode = fields.Text('source/@mode')
    source_host = fields.Text('source/@host')
    source_service = fields.Integer('source/@service')
    source_append = fields.OnOff('source/@append')
    protocol = fields.Text('protocol/@type')
    log_file = fields.Text('log/@file')
    log_append = fields.OnOff('log/@append')
    target_type = fields.Text('target/@type')
    target_port = fields.Integer('target/@port')
    target_name = fields.Text('target/@name')
    target_model = fields.Text('target/model/@name')
    alias = fields.Text('alias/@name')
    tty = fields.Text('@tty')


class Channel(element.Element):
    """A private channel between guest and host."""

    TAG = 'channel'
    type = fields.Text('@type')
    source_path = fields.Text('source/@path')
    source_mode = fields.Text('source/@mode')
    source_host = fields.Text('source/@host')
    source_service = fields.Integer('source/@service')
    source_append = fields.OnOff('source/@append')
    protocol = fields.Text('protocol/@type')
    log_file = fields.Text('log/@file')
    log_append = fields.OnOff('log/@append')
    target_type = fields.Text('target/@type')
    target_port = fields.Integer('target/@port')
    target_name = fields.Text('target/@name')
    target_model = fields.Text('target/model/@name')
    alias = fields.Text('alias/@name')
    target_state = fields.Text('target/@state')
    address = fields.Child('address', address.Address)
