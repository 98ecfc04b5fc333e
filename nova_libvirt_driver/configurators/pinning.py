# SPDX-License-Identifier: Apache-2.0

"""The facet of CPU time: pinning, scheduler, shares and quota."""

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.xmlmodel import cpu as cpu_module
from nova_libvirt_driver.xmlmodel import domain as domain_module


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Say where and how much virtual CPUs run.

    :raises InvalidRequest: a virtual or host CPU is not named rightly
    """
    cpu = inputs.spec.cpu
    tune = domain.cputune
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
