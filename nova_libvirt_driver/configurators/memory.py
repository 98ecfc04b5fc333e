# SPDX-License-Identifier: Apache-2.0

"""The facet of memory: its size, its backing, its encryption."""

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import machine
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.xmlmodel.devices import devices as devices_module
from nova_libvirt_driver.xmlmodel import domain as domain_module
from nova_libvirt_driver.xmlmodel import memory as memory_module

Source = memory_spec.MemorySource

# No debugging, no shared keys, no migration to hosts without SEV.
_SEV_POLICY = '0x0033'


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Give the guest its memory.

    :raises InvalidRequest: the kinds of memory do not go together
    :raises UnsupportedOperation: the host has no such memory
    """
    memory = inputs.spec.memory
    if memory.size_mib < 1:
        raise exception.InvalidRequest(
            reason=f'{memory.size_mib} MiB of memory are too few')
    domain.memory_kib = memory.size_mib * 1024
    backing = domain.memory_backing
    _huge_pages(backing, inputs)
    _source(backing, inputs)
    if memory.locked or inputs.spec.cpu.realtime_vcpus:
        backing.locked = True
    if inputs.spec.cpu.realtime_vcpus:
        # Merging pages would let a guest wait for others.
        backing.nosharepages = True


def source(inputs: inputs_module.Inputs) -> memory_spec.MemorySource:
    """Return what backs the guest's memory."""
    memory = inputs.spec.memory
    if memory.source is not None:
        return memory.source
    if has_huge_pages(inputs):
        return Source.ANONYMOUS
    if inputs.policy.memory_source is Source.ANONYMOUS and is_shared(inputs):
        return Source.MEMFD
    return inputs.policy.memory_source


def is_shared(inputs: inputs_module.Inputs) -> bool:
    """Say whether another process has to map the guest's memory."""
    return inputs.spec.memory.shared or (
        policy_spec.LikeNova.VHOSTUSER not in inputs.policy.like_nova
        and any(nic.kind is nic_spec.NicKind.VHOSTUSER
                for nic in inputs.spec.nics))


def has_huge_pages(inputs: inputs_module.Inputs) -> bool:
    """Say whether any part of the memory is backed by huge pages."""
    return inputs.spec.memory.page_size_kib is not None or any(
        cell.page_size_kib is not None for cell in inputs.spec.cpu.cells)


def _huge_pages(
        backing: memory_module.MemoryBacking,
        inputs: inputs_module.Inputs) -> None:
    if inputs.spec.memory.page_size_kib is not None:
        _add_page(backing, inputs.spec.memory.page_size_kib)
    for cell in inputs.spec.cpu.cells:
        if cell.page_size_kib is not None:
            page = _add_page(backing, cell.page_size_kib)
            page.nodeset = frozenset({cell.id})


def _add_page(
        backing: memory_module.MemoryBacking,
        size_kib: int) -> memory_module.Page:
    if size_kib < 1:
        raise exception.InvalidRequest(
            reason=f'there are no pages of {size_kib} KiB')
    page = backing.pages.add()
    page.size = size_kib
    page.unit = 'KiB'
    return page


def _source(
        backing: memory_module.MemoryBacking,
        inputs: inputs_module.Inputs) -> None:
    kind = source(inputs)
    shared = is_shared(inputs)
    if kind is Source.FILE and has_huge_pages(inputs):
        raise exception.InvalidRequest(
            reason='memory cannot be huge pages and in a file at once')
    if shared and kind is Source.ANONYMOUS and not has_huge_pages(inputs):
        raise exception.InvalidRequest(
            reason='anonymous memory cannot be shared: take memfd, file or '
            'huge pages')
    checks.supported(
        'memory source', kind, inputs.host.capabilities.memory_sources)
    if kind is not Source.ANONYMOUS:
        backing.source_type = kind.value
    if shared or kind is Source.FILE:
        backing.access_mode = 'shared'
    if kind is Source.FILE:
        backing.allocation_mode = 'immediate'
        # Not written back when the guest ends.
        backing.discard = True


def encrypt(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
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
    domain.launch_security_policy = _SEV_POLICY
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
