# SPDX-License-Identifier: Apache-2.0

"""The facet of the guest agent."""

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.xmlmodel import domain as domain_module

CHANNEL = 'org.qemu.guest_agent.0'


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the agent's channel; libvirt chooses the path of its socket."""
    if not inputs.spec.devices.agent:
        return
    channel = domain.devices.channels.add()
    channel.type = 'unix'
    channel.source_mode = 'bind'
    channel.target_type = 'virtio'
    channel.target_name = CHANNEL
