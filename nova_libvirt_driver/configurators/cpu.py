# SPDX-License-Identifier: Apache-2.0

"""The facet of virtual CPUs: which, in which cells, on which CPUs."""

import itertools

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.xmlmodel import cpu as cpu_module
from nova_libvirt_driver.xmlmodel import domain as domain_module

Mode = cpu_spec.CpuMode

_EMULATED = {'aarch64': 'cortex-a57', 'ppc64le': 'POWER8'}
"""Models of guests of another architecture than the host's, as Nova's own
driver takes them. What QEMU takes for aarch64 runs 32-bit code only."""

_TUNE = {'shares': (2, 262144), 'period_us': (1000, 1000000),
         'quota_us': (1000, 17592186044415)}
"""What libvirt takes."""


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Give the guest its virtual CPUs.

    :raises InvalidRequest: the topology, the flags, the cells or the host's
        CPUs do not fit
    :raises UnsupportedOperation: the host has no such mode or model
    """
    cpu = inputs.spec.cpu
    if cpu.vcpus < 1:
        raise exception.InvalidRequest(
            reason=f'a guest with {cpu.vcpus} virtual CPUs cannot run')
    domain.vcpus = cpu.vcpus
    # No disk uses it; guests of Nova's own driver have it.
    domain.iothreads = 1
    kind = mode(inputs)
    if kind is not Mode.NONE:
        checks.supported(
            'CPU mode', kind, inputs.host.capabilities.cpu_modes)
        domain.cpu.mode = kind.value
    if kind is Mode.CUSTOM:
        domain.cpu.match = 'exact'
        domain.cpu.model = _model(inputs)
        if policy_spec.LikeNova.CPU_MODELS not in inputs.policy.like_nova:
            domain.cpu.model_fallback = 'forbid'
    elif cpu.model:
        raise exception.InvalidRequest(
            reason=f'the CPU model {cpu.model} needs the mode custom, not '
            f'{kind}')
    if cpu.max_address is not None:
        if cpu.max_address.mode == 'passthrough' and cpu.max_address.bits:
            raise exception.InvalidRequest(
                reason='addresses of memory that are as wide as those of the '
                'host have no number of bits')
        domain.cpu.maxphysaddr_mode = cpu.max_address.mode
        domain.cpu.maxphysaddr_bits = cpu.max_address.bits
    _flags(domain.cpu, inputs, kind)
    _topology(domain.cpu, cpu)
    _numa(domain, inputs)
    _pin(domain, inputs)
    for name in inputs.policy.perf_events:
        event = domain.perf_events.add()
        event.name = name
        event.enabled = True


def mode(inputs: inputs_module.Inputs) -> Mode:
    """Return how the guest's CPU relates to the host's."""
    if inputs.arch != inputs.host.arch and inputs.spec.cpu.mode is None:
        # It is emulated, and cannot be like the host's.
        return Mode.CUSTOM if inputs.arch in _EMULATED else Mode.NONE
    return inputs.spec.cpu.mode or inputs.policy.chosen_cpu_mode(
        inputs.host.capabilities.cpu_modes)


def _model(inputs: inputs_module.Inputs) -> str:
    """Return the model asked for, or the first that the host can give."""
    offered = inputs.host.capabilities.cpu_models
    emulated = inputs.arch != inputs.host.arch and _EMULATED.get(inputs.arch)
    asked = inputs.spec.cpu.model or emulated
    if asked and asked != emulated:
        checks.supported('CPU model', asked, offered)
    if asked:
        return asked
    listed = inputs.policy.cpu_models
    models = inputs.policy.usable_cpu_models(offered)
    needed = inputs.spec.cpu.needed_flags
    for model in models:
        if needed <= inputs.model_flags.get(model, frozenset()):
            return model
    if not listed:
        raise exception.InvalidRequest(
            reason='the CPU mode custom needs a model: name one, or set '
            '[libvirt] cpu_models')
    raise exception.UnsupportedOperation(
        tried='give a guest one of the CPU models ' + ', '.join(listed),
        reason='none that this host can use has the flags '
        f'{", ".join(sorted(needed))}, which its flavor requires by traits'
        if models else 'this host can use none of them')


def _flags(
        element: cpu_module.Cpu, inputs: inputs_module.Inputs,
        kind: Mode) -> None:
    flags = {flag.name: flag.enabled
             for flag in (*inputs.policy.cpu_flags, *inputs.spec.cpu.flags)}
    if inputs.arch != inputs.host.arch:
        flags = {flag.name: flag.enabled for flag in inputs.spec.cpu.flags}
    if flags and kind is Mode.NONE:
        raise exception.InvalidRequest(
            reason='CPU flags need a CPU mode other than none')
    for name, enabled in flags.items():
        feature = element.features.add()
        feature.name = name
        feature.policy = 'require' if enabled else 'disable'


def _topology(element: cpu_module.Cpu, cpu: cpu_spec.CpuSpec) -> None:
    topology = cpu.topology or cpu_spec.CpuTopology(sockets=cpu.vcpus)
    numbers = (topology.sockets, topology.cores, topology.threads)
    product = topology.sockets * topology.cores * topology.threads
    if min(numbers) < 1 or product != cpu.vcpus:
        raise exception.InvalidRequest(
            reason='a topology of %d sockets, %d cores and %d threads does '
            'not make %d virtual CPUs' % (*numbers, cpu.vcpus))
    element.sockets, element.cores, element.threads = numbers


def _numa(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Divide CPUs and memory into cells.

    :raises InvalidRequest: the cells do not make up the guest
    """
    cells = inputs.spec.cpu.cells
    if not cells:
        return
    _check_cells(inputs.spec.cpu, inputs.spec.memory.size_mib)
    for cell in cells:
        element = domain.cpu.cells.add()
        element.id = cell.id
        element.cpus = cell.vcpus
        element.memory_kib = cell.memory_mib * 1024
        element.unit = 'KiB'
        if cell.shared_memory:
            element.mem_access = 'shared'
    _nodes(domain, cells)


def _check_cells(cpu: cpu_spec.CpuSpec, memory_mib: int) -> None:
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


def _pin(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Say where and how much virtual CPUs run.

    :raises InvalidRequest: a virtual or host CPU is not named rightly, or a
        limit is out of its range
    """
    cpu = inputs.spec.cpu
    tune = domain.cputune
    for name, (least, most) in _TUNE.items():
        # Less than one is for no limit.
        value = getattr(cpu.tune, name) or 0
        if value > 0 and not least <= value <= most:
            raise exception.InvalidRequest(
                reason=f'{name} of CPU time is {value}, and has to be from '
                f'{least} to {most}')
    tune.shares = cpu.tune.shares
    tune.period = cpu.tune.period_us
    tune.quota = cpu.tune.quota_us
    if cpu.host_cpus:
        domain.vcpu_cpuset = cpu.host_cpus
    checks.distinct('the pinned virtual CPU', (pin.vcpu for pin in cpu.pins))
    for pin in cpu.pins:
        _check_vcpus(cpu, frozenset({pin.vcpu}))
        if not pin.host_cpus:
            raise exception.InvalidRequest(
                reason=f'virtual CPU {pin.vcpu} is pinned to no host CPU')
        element = tune.vcpupins.add()
        element.vcpu = pin.vcpu
        element.cpuset = pin.host_cpus
    if cpu.emulator_cpus:
        tune.emulatorpin = cpu.emulator_cpus
        thread = tune.iothreadpins.add()
        thread.iothread = 1
        thread.cpuset = cpu.emulator_cpus
    _scheduler(tune, cpu)


def _scheduler(tune: cpu_module.Cputune, cpu: cpu_spec.CpuSpec) -> None:
    if not cpu.realtime_vcpus:
        return
    _check_vcpus(cpu, cpu.realtime_vcpus)
    if not 1 <= cpu.realtime_priority <= 99:
        raise exception.InvalidRequest(
            reason=f'{cpu.realtime_priority} is no priority of the fifo '
            'scheduler: it takes 1 to 99')
    element = tune.vcpuscheds.add()
    element.vcpus = cpu.realtime_vcpus
    element.scheduler = 'fifo'
    element.priority = cpu.realtime_priority


def _check_vcpus(cpu: cpu_spec.CpuSpec, vcpus: frozenset[int]) -> None:
    unknown = vcpus - frozenset(range(cpu.vcpus))
    if unknown:
        raise exception.InvalidRequest(
            reason=f'there is no virtual CPU {min(unknown)}: the guest has '
            f'{cpu.vcpus}')
