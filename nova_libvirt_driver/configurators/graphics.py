# SPDX-License-Identifier: Apache-2.0

"""The facet of graphical consoles."""

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module

_SPICE_AGENT = 'com.redhat.spice.0'


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
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
            channel = domain.devices.channels.add()
            channel.type = 'spicevmc'
            channel.target_type = 'virtio'
            channel.target_name = _SPICE_AGENT


def has_spice(inputs: inputs_module.Inputs) -> bool:
    """Say whether there is a console of the kind SPICE."""
    return any(console.kind is console_spec.GraphicsKind.SPICE
               for console in inputs.spec.consoles.graphics)
