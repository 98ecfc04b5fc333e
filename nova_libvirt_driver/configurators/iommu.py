# SPDX-License-Identifier: Apache-2.0

"""The facet of the virtual IOMMU."""

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import machine
from nova_libvirt_driver import exception
from nova_libvirt_driver.xmlmodel import domain as domain_module

_VIRTIO_SINCE = 8_003_000


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the IOMMU.

    :raises InvalidRequest: there is no such model
    :raises UnsupportedOperation: the machine or libvirt cannot have it
    """
    asked = inputs.spec.devices.iommu
    if asked is None:
        return
    _check(asked.model, inputs)
    element = domain.devices.iommus.add()
    element.model = asked.model
    if asked.model != 'intel':
        return
    element.intremap = True
    # Without KVM QEMU (7.2) refuses the extended mode.
    element.eim = asked.eim and inputs.kvm
    element.caching_mode = asked.caching_mode
    element.iotlb = asked.iotlb
    # Remapped interrupts need an interrupt controller outside the kernel.
    domain.features.ioapic_driver = 'qemu'


def _check(model: str, inputs: inputs_module.Inputs) -> None:
    fits = {'intel': machine.is_q35(inputs),
            'virtio': machine.has_pcie(inputs),
            'smmuv3': machine.has_pcie(inputs) and not inputs.x86}
    if model not in fits:
        raise exception.InvalidRequest(
            reason=f'there is no IOMMU {model}: take one of '
            f'{", ".join(sorted(fits))}')
    if not fits[model]:
        raise exception.UnsupportedOperation(
            tried=f'give a guest an IOMMU of the model {model}',
            reason=f'the machine {machine.canonical(inputs)} cannot have it')
    if model == 'virtio' and inputs.host.libvirt_version < _VIRTIO_SINCE:
        raise exception.UnsupportedOperation(
            tried='give a guest an IOMMU of the model virtio',
            reason='it needs libvirt 8.3')
