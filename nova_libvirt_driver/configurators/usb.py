# SPDX-License-Identifier: Apache-2.0

"""The facet of the USB controller, which libvirt adds unless told not to.

Its own choice for a PC has two ports; a guest that needs more gets another.
"""

from nova_libvirt_driver.configurators import input_devices
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module

_TABLET = 'a USB tablet'


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Leave the controller out where it is not wanted.

    :raises InvalidRequest: a device needs it
    """
    wanted = inputs.spec.devices.usb_controller
    needed = _needed(inputs)
    if needed and not wanted:
        raise exception.InvalidRequest(
            reason=f'{needed} cannot be without a USB controller')
    if not wanted:
        _add(domain, 'none')
    elif needed and needed != _TABLET:
        _add(domain, 'qemu-xhci')


def _add(domain: domain_module.Domain, model: str) -> None:
    controller = domain.devices.controllers.add()
    controller.type = 'usb'
    controller.index = 0
    controller.model = model


def _needed(inputs: inputs_module.Inputs) -> str:
    """Return what the controller is needed for; empty for nothing."""
    if inputs.spec.devices.usb_redirections:
        return 'redirected USB devices'
    for disk in inputs.disks:
        if disk.bus is disk_spec.DiskBus.USB:
            return f'the USB disk {disk.target_dev}'
    if input_devices.pointer(inputs) == input_devices.USB_TABLET:
        return _TABLET
    return ''
