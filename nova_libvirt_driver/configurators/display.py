# SPDX-License-Identifier: Apache-2.0

"""What a user sits at: graphics card, pointer, keyboard."""

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module

USB_TABLET = 'usbtablet'
_NO_POINTER = 'none'
# Kind and bus of libvirt's for each of the names.
_POINTERS = {
    USB_TABLET: ('tablet', 'usb'),
    'ps2mouse': ('mouse', 'ps2'),
    'virtio': ('tablet', 'virtio'),
}


def add_video(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add a graphics card where there is a graphical console to see it by.

    :raises UnsupportedOperation: the host's QEMU lacks the model
    """
    if not inputs.spec.consoles.graphics:
        return
    card = inputs.spec.devices.video
    model = _model(inputs)
    checks.supported('graphics card', model,
                     inputs.host.capabilities.video_models)
    element = domain.devices.videos.add()
    element.model = model
    if card is not None and card.vram_mib is not None:
        if card.vram_mib < 1 or model == 'none':
            raise exception.InvalidRequest(
                reason=f'a graphics card {model} with {card.vram_mib} MiB '
                'is impossible')
        element.vram_kib = card.vram_mib * 1024


def _model(inputs: inputs_module.Inputs) -> str:
    card = inputs.spec.devices.video
    if card is None:
        return 'none'
    if card.model:
        return card.model
    if not inputs.x86:
        return 'virtio'
    models = inputs.host.capabilities.video_models
    # Guests without a driver for it see a VGA card.
    return 'virtio' if not models or 'virtio' in models else 'vga'


def add_inputs(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the pointer, and a keyboard where the machine has none.

    :raises InvalidRequest: there is no such pointer
    """
    name = pointer(inputs)
    if name and name != _NO_POINTER:
        if name not in _POINTERS:
            raise exception.InvalidRequest(
                reason=f'there is no pointer {name}: take one of '
                f'{", ".join(sorted(_POINTERS))}')
        _add_input(domain, *_POINTERS[name])
    bus = keyboard(inputs)
    if bus:
        _add_input(domain, 'keyboard', bus)


def pointer(inputs: inputs_module.Inputs) -> str:
    """Return the pointer's name; VNC needs one with absolute positions."""
    devices = inputs.spec.devices
    if devices.pointer:
        return devices.pointer
    vnc = any(one.kind is console_spec.GraphicsKind.VNC
              for one in inputs.spec.consoles.graphics)
    return USB_TABLET if vnc and devices.usb_controller else ''


def keyboard(inputs: inputs_module.Inputs) -> str:
    """Return the bus of the keyboard; empty where the machine has its own."""
    devices = inputs.spec.devices
    if devices.keyboard or not inputs.spec.consoles.graphics:
        return devices.keyboard
    return 'usb' if not inputs.x86 and devices.usb_controller else ''


def _add_input(domain: domain_module.Domain, kind: str, bus: str) -> None:
    element = domain.devices.inputs.add()
    element.type = kind
    element.bus = bus
