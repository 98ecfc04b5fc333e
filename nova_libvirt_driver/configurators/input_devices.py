# SPDX-License-Identifier: Apache-2.0

"""The facet of pointer and keyboard."""

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module

USB_TABLET = 'usbtablet'

# Kind and bus of libvirt's for each of the names.
_POINTERS = {
    USB_TABLET: ('tablet', 'usb'),
    'ps2mouse': ('mouse', 'ps2'),
    'virtio': ('tablet', 'virtio'),
}


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the pointer, and a keyboard where the machine has none.

    :raises InvalidRequest: there is no such pointer
    """
    name = pointer(inputs)
    if name:
        if name not in _POINTERS:
            raise exception.InvalidRequest(
                reason=f'there is no pointer {name}: take one of '
                f'{", ".join(sorted(_POINTERS))}')
        _add(domain, *_POINTERS[name])
    if (not inputs.x86 and inputs.spec.consoles.graphics
            and inputs.spec.devices.usb_controller):
        _add(domain, 'keyboard', 'usb')


def pointer(inputs: inputs_module.Inputs) -> str:
    """Return the pointer's name; VNC needs one with absolute positions."""
    devices = inputs.spec.devices
    if devices.pointer:
        return devices.pointer
    vnc = any(one.kind is console_spec.GraphicsKind.VNC
              for one in inputs.spec.consoles.graphics)
    return USB_TABLET if vnc and devices.usb_controller else ''


def _add(domain: domain_module.Domain, kind: str, bus: str) -> None:
    element = domain.devices.inputs.add()
    element.type = kind
    element.bus = bus
