# SPDX-License-Identifier: Apache-2.0

"""What libvirt's capabilities XML says of processors, nodes and emulators."""

from lxml import etree

from nova_libvirt_driver.spec import host

_KIB = {'b': 1 / 1024, 'bytes': 1 / 1024, 'KiB': 1, 'k': 1, 'MiB': 1024,
        'M': 1024, 'GiB': 1024 ** 2, 'G': 1024 ** 2}


def cells(capabilities: etree._Element) -> tuple[host.HostCell, ...]:
    """Return the NUMA nodes in the order of libvirt."""
    return tuple(
        _cell(cell)
        for cell in capabilities.iterfind('host/topology/cells/cell'))


def addresses(cpu: etree._Element | None) -> host.PhysicalAddresses | None:
    """Return how wide the addresses of a CPU are, if that is told."""
    found = None if cpu is None else cpu.find('maxphysaddr')
    if found is None:
        return None
    return host.PhysicalAddresses(
        found.get('mode', ''), int(found.get('bits', '0')))


def guest_kinds(capabilities: etree._Element) -> tuple[host.GuestKind, ...]:
    """Return a row for each architecture and kind of virtualization."""
    return tuple(
        host.GuestKind(
            arch=arch.get('name', ''), virt_type=domain.get('type', ''),
            os_type=guest.findtext('os_type', default=''),
            machines=_machines(arch, domain))
        for guest in capabilities.iterfind('guest')
        for arch in guest.iterfind('arch')
        for domain in arch.iterfind('domain'))


def _machines(
        arch: etree._Element, domain: etree._Element) -> tuple[str, ...]:
    # A kind of its own may have machines of its own.
    own = domain if domain.find('machine') is not None else arch
    return tuple(
        machine.text or '' for machine in own.iterfind('machine')
        if machine.get('canonical'))


def _cell(cell: etree._Element) -> host.HostCell:
    memory = cell.find('memory')
    return host.HostCell(
        id=int(cell.get('id', '0')),
        memory_kib=0 if memory is None else _kib(
            memory.text, memory.get('unit')),
        cpus=tuple(_cpu(cpu) for cpu in cell.iterfind('cpus/cpu')),
        pages=tuple(
            host.PagePool(_kib(pages.get('size'), pages.get('unit')),
                          int(pages.text or 0))
            for pages in cell.iterfind('pages')))


def _cpu(cpu: etree._Element) -> host.HostCpu:
    socket_id = cpu.get('socket_id')
    return host.HostCpu(
        id=int(cpu.get('id', '0')),
        socket_id=None if socket_id is None else int(socket_id),
        siblings=numbers(cpu.get('siblings', '')))


def numbers(text: str) -> frozenset[int]:
    """Return the members of a set that libvirt writes as ``0-3,8``."""
    found: set[int] = set()
    for part in filter(None, text.split(',')):
        first, _, last = part.partition('-')
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _kib(number: str | None, unit: str | None) -> int:
    return int(int(number or 0) * _KIB[unit or 'KiB'])
