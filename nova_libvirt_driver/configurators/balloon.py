# SPDX-License-Identifier: Apache-2.0

"""The facet of the memory balloon."""

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.xmlmodel import domain as domain_module


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the balloon, or keep libvirt from adding one."""
    element = domain.devices.memballoons.add()
    if not inputs.spec.memory.balloon:
        element.model = 'none'
        return
    element.model = 'virtio'
    element.stats_period_s = inputs.policy.stats_period_s or None
