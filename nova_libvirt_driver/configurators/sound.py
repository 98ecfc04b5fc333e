# SPDX-License-Identifier: Apache-2.0

"""The facet of the sound card."""

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.xmlmodel import domain as domain_module

_MODELS = ('ac97', 'es1370', 'ich6', 'ich9', 'pcspk', 'sb16', 'usb', 'virtio')


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the card.

    :raises InvalidRequest: there is no such model
    """
    model = inputs.spec.devices.sound
    if not model:
        return
    if model not in _MODELS:
        raise exception.InvalidRequest(
            reason=f'there is no sound card {model}: take one of '
            f'{", ".join(_MODELS)}')
    domain.devices.sounds.add().model = model
