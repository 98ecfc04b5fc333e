# SPDX-License-Identifier: Apache-2.0

"""From libvirt's XML of what a host is, and can run, to values."""

import re

from nova_libvirt_driver.spec import capabilities as capabilities_spec
from nova_libvirt_driver.spec import host
from nova_libvirt_driver.xmlmodel import capabilities
from nova_libvirt_driver.xmlmodel import domain_capabilities

# Libvirt does not list it; it came with this version.
_STATELESS_SINCE = 8_006_000

_OWNER = re.compile(r'\+(\d+):\+(\d+)')


def qemu_user(
        said: capabilities.Capabilities,
        virt_type: str) -> tuple[int, int] | tuple[None, None]:
    """Return the user and the group that emulators of a kind run as.

    :returns: Nones when libvirt does not say
    """
    for model in said.security_models:
        if model.model != 'dac':
            continue
        for label in model.base_labels:
            found = _OWNER.fullmatch((label.label or '').strip())
            if found and label.type == virt_type:
                return int(found[1]), int(found[2])
    return None, None


def cells(
        said: capabilities.Capabilities
) -> tuple[tuple[host.HostCell, ...], tuple[str, ...]]:
    """Return the NUMA nodes in the order of libvirt.

    :returns: the nodes, and what is wrong with each that is left out
    """
    found, odd = [], []
    for node in said.nodes:
        try:
            found.append(_cell(node))
        except ValueError as error:
            odd.append(f'node {node.element.get("id")}: {error}')
    return tuple(found), tuple(odd)


def addresses(
        cpu: capabilities.HostCpu) -> host.PhysicalAddresses | None:
    """Return how wide the addresses of a CPU are, if that is known."""
    bits = cpu.maxphysaddr_bits
    return None if bits is None else host.PhysicalAddresses(
        cpu.maxphysaddr_mode or '', bits)


def guest_kinds(
        said: capabilities.Capabilities) -> tuple[host.GuestKind, ...]:
    """Return a row for each architecture and kind of virtualization."""
    return tuple(
        host.GuestKind(
            arch=guest.arch or '', virt_type=kind.type or '',
            os_type=guest.os_type or '',
            # A kind of its own may have machines of its own.
            machines=tuple(
                machine.name or ''
                for machine in kind.machines or guest.machines
                if machine.canonical_name))
        for guest in said.guests for kind in guest.virtualizations)


def of_domains(
        xml: str, libvirt_version: int
) -> capabilities_spec.DomainCapabilities:
    """Return what guests of one machine type can have.

    :param libvirt_version: of the libvirt that wrote it
    """
    said = domain_capabilities.DomainCapabilities.parse(xml)
    uefi = 'efi' in _values(said.os, 'firmware')
    return capabilities_spec.DomainCapabilities(
        arch=said.arch or '', machine=said.machine or '', uefi=uefi,
        secure_boot=uefi and 'yes' in _values(said.loader, 'secure'),
        stateless_firmware=uefi and libvirt_version >= _STATELESS_SINCE,
        loaders=tuple(path.text or '' for path in said.loader.paths
                      if said.loader.supported),
        cpu_modes=frozenset(
            mode.name or '' for mode in said.cpu_modes if mode.supported),
        cpu_models=frozenset(
            model.name or '' for mode in said.cpu_modes
            if mode.name == 'custom' for model in mode.models
            if model.usable != 'no'),
        disk_buses=_values(said.disk, 'bus'),
        graphics=_values(said.graphics, 'type'),
        video_models=_values(said.video, 'modelType'),
        rng_backends=_values(said.rng, 'backendModel'),
        tpm_models=_values(said.tpm, 'model'),
        tpm_versions=_values(said.tpm, 'backendVersion'),
        memory_sources=_values(said.memory, 'sourceType'),
        memory_encryption=said.sev or False)


def _cell(node: capabilities.Node) -> host.HostCell:
    return host.HostCell(
        id=node.id or 0, memory_kib=node.memory_kib or 0,
        cpus=tuple(
            host.HostCpu(cpu.id or 0, cpu.socket_id,
                         cpu.siblings or frozenset())
            for cpu in node.cpus),
        pages=tuple(
            host.PagePool(pages.size_kib or 0, pages.count or 0)
            for pages in node.pages))


def _values(
        offer: domain_capabilities.Support, name: str) -> frozenset[str]:
    """Return the values of one choice, none if it is not supported."""
    return frozenset(
        value.text or '' for choice in offer.choices
        if offer.supported and choice.name == name
        for value in choice.values)
