# SPDX-License-Identifier: Apache-2.0

"""The facet of the USB controller, which libvirt adds unless told not to."""

from nova_libvirt_driver.configurators import input_devices
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Leave the controller out where it is not wanted.

    :raises InvalidRequest: a device needs it
    """
    if inputs.spec.devices.usb_controller:
        return
    needed = _needed(inputs)
    if needed:
        raise exception.InvalidRequest(
            reason=f'{needed} cannot be without a USB controller')
    controller = domain.devices.controllers.add()
    controller.type = 'usb'
    controller.index = 0
    controller.model = 'none'


def _needed(inputs: inputs_module.Inputs) -> str:
    """Return what the controller is needed for; empty for nothing."""
    if inputs.spec.devices.usb_redirections:
        return 'redirected USB devices'
    if input_devices.pointer(inputs) == input_devices.USB_TABLET:
        return 'a USB tablet'
    for disk in inputs.disks:
        if disk.bus is disk_spec.DiskBus.USB:
            return f'the USB disk {disk.target_dev}'
    return ''
