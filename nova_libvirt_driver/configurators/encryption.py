# SPDX-License-Identifier: Apache-2.0

"""The facet of encrypted memory (AMD SEV)."""

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import machine
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.xmlmodel.devices import devices as devices_module
from nova_libvirt_driver.xmlmodel import domain as domain_module

# No debugging, no shared keys, no migration to hosts without SEV.
_POLICY = '0x0033'


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Encrypt the memory, and let devices use what is not encrypted.

    :raises InvalidRequest: the guest is of a kind that cannot have it
    :raises UnsupportedOperation: the host cannot do it
    """
    if not inputs.spec.memory.encrypted:
        return
    if not inputs.host.capabilities.memory_encryption:
        raise exception.UnsupportedOperation(
            tried='encrypt the memory of a guest',
            reason='this host has no SEV, or does not use it')
    if (machine.firmware(inputs) is not boot_spec.Firmware.UEFI
            or not machine.is_q35(inputs)):
        raise exception.InvalidRequest(
            reason='encrypted memory needs UEFI and a machine of type q35')
    domain.launch_security_type = 'sev'
    domain.launch_security_policy = _POLICY
    # Encrypted pages cannot be moved.
    domain.memory_backing.locked = True
    _open_large(domain.devices)
    _open_small(domain.devices)


def _open_large(devices: devices_module.Devices) -> None:
    """Let disks and interfaces use the memory that is not encrypted."""
    for disk in devices.disks:
        if disk.target_bus == 'virtio':
            disk.driver_iommu = True
    for interface in devices.interfaces:
        if interface.model == 'virtio':
            interface.driver_iommu = True
    for controller in devices.controllers:
        if controller.model == 'virtio-scsi':
            controller.driver_iommu = True


def _open_small(devices: devices_module.Devices) -> None:
    """Let the other virtio devices do so."""
    for balloon in devices.memballoons:
        if balloon.model == 'virtio':
            balloon.driver_iommu = True
    for rng in devices.rngs:
        rng.driver_iommu = True
    for vsock in devices.vsocks:
        vsock.driver_iommu = True
