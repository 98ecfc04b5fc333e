# SPDX-License-Identifier: Apache-2.0

"""The facet of USB devices at the viewer's end of SPICE."""

from nova_libvirt_driver.configurators import graphics
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.xmlmodel import domain as domain_module


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add as many of them as were asked for.

    :raises InvalidRequest: there is no console they could come by
    """
    number = inputs.spec.devices.usb_redirections
    if number and not graphics.has_spice(inputs):
        raise exception.InvalidRequest(
            reason='redirected USB devices need a SPICE console')
    for _ in range(number):
        element = domain.devices.redirdevs.add()
        element.bus = 'usb'
        element.type = 'spicevmc'
