# SPDX-License-Identifier: Apache-2.0

"""The facet of NUMA: cells of the guest, and nodes of the host below."""

import itertools

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Divide CPUs and memory into cells.

    :raises InvalidRequest: the cells do not make up the guest
    """
    cells = inputs.spec.cpu.cells
    if not cells:
        return
    _check(inputs.spec.cpu, inputs.spec.memory.size_mib)
    for cell in cells:
        element = domain.cpu.cells.add()
        element.id = cell.id
        element.cpus = cell.vcpus
        element.memory_kib = cell.memory_mib * 1024
        element.unit = 'KiB'
        if cell.shared_memory:
            element.mem_access = 'shared'
    _nodes(domain, cells)


def _check(cpu: cpu_spec.CpuSpec, memory_mib: int) -> None:
    cells = cpu.cells
    if [cell.id for cell in cells] != list(range(len(cells))):
        raise exception.InvalidRequest(
            reason='NUMA cells must be numbered 0, 1, 2 and so on')
    vcpus = sorted(itertools.chain.from_iterable(
        cell.vcpus for cell in cells))
    if vcpus != list(range(cpu.vcpus)):
        raise exception.InvalidRequest(
            reason=f'each of the {cpu.vcpus} virtual CPUs must be in one '
            'NUMA cell')
    total_mib = sum(cell.memory_mib for cell in cells)
    if total_mib != memory_mib:
        raise exception.InvalidRequest(
            reason=f'the NUMA cells have {total_mib} MiB, the guest has '
            f'{memory_mib} MiB')


def _nodes(
        domain: domain_module.Domain,
        cells: tuple[cpu_spec.NumaCell, ...]) -> None:
    placed = [cell for cell in cells if cell.host_node is not None]
    if not placed:
        return
    domain.numatune.mode = 'strict'
    domain.numatune.nodeset = frozenset(
        cell.host_node for cell in placed if cell.host_node is not None)
    for cell in placed:
        if cell.host_node is not None:
            node = domain.numatune.memnodes.add()
            node.cellid = cell.id
            node.mode = 'strict'
            node.nodeset = frozenset({cell.host_node})
