# SPDX-License-Identifier: Apache-2.0

"""Consoles, and other channels between guest and host."""

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.xmlmodel.devices import character
from nova_libvirt_driver.xmlmodel.devices import graphics as graphics_module
from nova_libvirt_driver.xmlmodel import domain as domain_module

# What a PC has.
_PORTS_MAX = 4

CHANNEL = 'org.qemu.guest_agent.0'
_SPICE_AGENT = 'com.redhat.spice.0'
# All that libvirt knows: one that is left out would stay in plain text.
_SPICE_CHANNELS = ('main', 'display', 'inputs', 'cursor', 'playback',
                   'record', 'smartcard', 'usbredir')


def add_serial(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the serial ports; libvirt adds the console to the first.

    :raises InvalidRequest: a port lacks its number, or there are too many
    """
    consoles = inputs.spec.consoles
    if len(consoles.serials) > _PORTS_MAX:
        raise exception.InvalidRequest(
            reason=f'a guest has at most {_PORTS_MAX} serial ports')
    checks.distinct('the serial console at', (
        f'{one.listen}:{one.port}' for one in consoles.serials
        if one.kind is console_spec.SerialKind.TCP))
    for number, serial in enumerate(consoles.serials):
        element = domain.devices.serials.add()
        element.type = serial.kind.value
        if serial.kind is console_spec.SerialKind.TCP:
            _listen(element, serial)
        element.target_port = number
        if number == 0 and consoles.log:
            checks.path('the console log', inputs.console_log)
            element.log_file = inputs.console_log
            # Each start begins a log of its own.
            element.log_append = False


def _listen(
        element: character.Serial, serial: console_spec.SerialSpec) -> None:
    if serial.port is None or not 0 < serial.port < 65536:
        raise exception.InvalidRequest(
            reason=f'a serial console cannot listen at port {serial.port}')
    element.source_mode = 'bind'
    element.source_host = serial.listen
    element.source_service = str(serial.port)
    element.protocol = 'raw'


def add_agent(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the agent's channel; libvirt chooses the path of its socket."""
    if not inputs.spec.devices.agent:
        return
    channel = domain.devices.channels.add()
    channel.type = 'unix'
    channel.source_mode = 'bind'
    channel.target_type = 'virtio'
    channel.target_name = CHANNEL


def add_graphics(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the consoles; libvirt chooses their ports at each start.

    :raises InvalidRequest: a kind is there twice
    :raises UnsupportedOperation: the host's QEMU lacks a kind
    """
    consoles = inputs.spec.consoles.graphics
    checks.distinct('a console of the kind', (
        console.kind for console in consoles))
    for console in consoles:
        checks.supported('graphical console', console.kind,
                         inputs.host.capabilities.graphics)
        element = domain.devices.graphics.add()
        element.type = console.kind.value
        element.port = -1
        element.autoport = True
        element.listen = console.listen
        element.keymap = console.keymap or None
        listen = element.listens.add()
        listen.type = 'address'
        listen.address = console.listen
        if console.kind is console_spec.GraphicsKind.SPICE:
            _settle_spice(element, console.spice)
            if console.spice.agent:
                channel = domain.devices.channels.add()
                channel.type = 'spicevmc'
                channel.target_type = 'virtio'
                channel.target_name = _SPICE_AGENT


def _settle_spice(
        element: graphics_module.Graphics,
        wanted: console_spec.SpiceSpec) -> None:
    element.image_compression = wanted.image_compression or None
    element.jpeg_compression = wanted.jpeg_compression or None
    element.zlib_compression = wanted.zlib_compression or None
    element.playback_compression = wanted.playback_compression
    element.streaming_mode = wanted.streaming_mode or None
    for name in _SPICE_CHANNELS if wanted.secure else ():
        channel = element.channels.add()
        channel.name = name
        channel.mode = 'secure'


def has_spice(inputs: inputs_module.Inputs) -> bool:
    """Say whether there is a console of the kind SPICE."""
    return any(console.kind is console_spec.GraphicsKind.SPICE
               for console in inputs.spec.consoles.graphics)


def add_redirections(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add as many redirected USB devices as were asked for.

    :raises InvalidRequest: there is no console they could come by
    """
    number = inputs.spec.devices.usb_redirections
    if number and not has_spice(inputs):
        raise exception.InvalidRequest(
            reason='redirected USB devices need a SPICE console')
    for _ in range(number):
        element = domain.devices.redirdevs.add()
        element.bus = 'usb'
        element.type = 'spicevmc'
