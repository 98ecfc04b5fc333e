# SPDX-License-Identifier: Apache-2.0

"""The facet of the source of random numbers."""

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.xmlmodel import domain as domain_module

_BACKEND = 'random'


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the source.

    :raises InvalidRequest: its limit is no limit
    """
    rng = inputs.spec.devices.rng
    if rng is None:
        return
    if rng.period_ms is not None and rng.rate_bytes is None:
        raise exception.InvalidRequest(
            reason='a period without bytes limits no random numbers')
    checks.supported('source of random numbers', _BACKEND,
                     inputs.host.capabilities.rng_backends)
    checks.path('the source of random numbers', inputs.policy.rng_path)
    element = domain.devices.rngs.add()
    element.model = 'virtio'
    element.backend_model = _BACKEND
    element.backend = inputs.policy.rng_path
    element.rate_bytes = rng.rate_bytes
    element.rate_period_ms = rng.period_ms
