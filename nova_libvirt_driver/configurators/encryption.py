# SPDX-License-Identifier: Apache-2.0

"""The facet of encrypted memory (AMD SEV)."""

from collections.abc import Iterator

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import machine
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.xmlmodel.devices import controller
from nova_libvirt_driver.xmlmodel.devices import disk
from nova_libvirt_driver.xmlmodel.devices import interface
from nova_libvirt_driver.xmlmodel.devices import other
from nova_libvirt_driver.xmlmodel import domain as domain_module

# No debugging, no shared keys, no migration to hosts without SEV.
_POLICY = '0x0033'

_Virtio = (disk.Disk | interface.Interface | controller.Controller
           | other.Memballoon | other.Rng | other.Vsock)


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
    for device in _virtio_devices(domain):
        device.driver_iommu = True


def _virtio_devices(domain: domain_module.Domain) -> Iterator[_Virtio]:
    devices = domain.devices
    yield from (one for one in devices.disks if one.target_bus == 'virtio')
    yield from (one for one in devices.interfaces if one.model == 'virtio')
    yield from (one for one in devices.controllers
                if one.model == 'virtio-scsi')
    yield from (one for one in devices.memballoons if one.model == 'virtio')
    yield from devices.rngs
    yield from devices.vsocks
