# SPDX-License-Identifier: Apache-2.0

"""The facet of the watchdog."""

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.xmlmodel import domain as domain_module


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the one model that all guests have drivers for."""
    action = inputs.spec.devices.watchdog
    if action is None:
        return
    element = domain.devices.watchdogs.add()
    element.model = 'i6300esb'
    element.action = action.value
