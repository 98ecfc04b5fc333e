# SPDX-License-Identifier: Apache-2.0

"""Graphical consoles."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Listen(element.Element):
    """Where a graphical console listens."""

    TAG = 'listen'
    type = fields.Text('@type')
    address = fields.Text('@address')
    socket = fields.Text('@socket')


class SpiceChannel(element.Element):
    """What goes over a SPICE console in a connection of its own."""

    TAG = 'channel'
    name = fields.Text('@name')
    mode = fields.Text('@mode')


class Graphics(element.Element):
    """A graphical console."""

    TAG = 'graphics'
    type = fields.Text('@type')
    port = fields.Integer('@port')
    tls_port = fields.Integer('@tlsPort')
    autoport = fields.YesNo('@autoport')
    keymap = fields.Text('@keymap')
    listen = fields.Text('@listen')
    listens = fields.Children(Listen)
    streaming_mode = fields.Text('streaming/@mode')
    image_compression = fields.Text('image/@compression')
    jpeg_compression = fields.Text('jpeg/@compression')
    zlib_compression = fields.Text('zlib/@compression')
    playback_compression = fields.OnOff('playback/@compression')
    channels = fields.Children(SpiceChannel)
