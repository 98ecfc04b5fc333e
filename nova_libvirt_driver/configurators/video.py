# SPDX-License-Identifier: Apache-2.0

"""The facet of the graphics card."""

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import graphics
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.xmlmodel import domain as domain_module

_NONE = 'none'


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add a card where there is a graphical console to see it by.

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
        if card.vram_mib < 1 or model == _NONE:
            raise exception.InvalidRequest(
                reason=f'a graphics card {model} with {card.vram_mib} MiB '
                'is impossible')
        element.vram_kib = card.vram_mib * 1024


def _model(inputs: inputs_module.Inputs) -> str:
    card = inputs.spec.devices.video
    if card is None:
        return _NONE
    if card.model:
        return card.model
    if not inputs.x86:
        return 'virtio'
    models = inputs.host.capabilities.video_models
    if graphics.has_spice(inputs) and 'qxl' in models:
        return 'qxl'
    # The one that every firmware and guest can drive.
    return 'vga'
