# SPDX-License-Identifier: Apache-2.0

"""The facet of virtual CPUs: how many, which model, which topology."""

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.xmlmodel import cpu as cpu_module
from nova_libvirt_driver.xmlmodel import domain as domain_module

Mode = cpu_spec.CpuMode


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Give the guest its virtual CPUs.

    :raises InvalidRequest: the topology or the flags do not fit
    :raises UnsupportedOperation: the host has no such mode or model
    """
    cpu = inputs.spec.cpu
    if cpu.vcpus < 1:
        raise exception.InvalidRequest(
            reason=f'a guest with {cpu.vcpus} virtual CPUs cannot run')
    domain.vcpus = cpu.vcpus
    kind = mode(inputs)
    if kind is not Mode.NONE:
        checks.supported(
            'CPU mode', kind, inputs.host.capabilities.cpu_modes)
        domain.cpu.mode = kind.value
    if kind is Mode.CUSTOM:
        domain.cpu.match = 'exact'
        domain.cpu.model = _model(inputs)
        domain.cpu.model_fallback = 'forbid'
    elif cpu.model:
        raise exception.InvalidRequest(
            reason=f'the CPU model {cpu.model} needs the mode custom, not '
            f'{kind}')
    _flags(domain.cpu, inputs, kind)
    _topology(domain.cpu, cpu)


def mode(inputs: inputs_module.Inputs) -> Mode:
    """Return how the guest's CPU relates to the host's."""
    return inputs.spec.cpu.mode or inputs.policy.chosen_cpu_mode(
        inputs.host.capabilities.cpu_modes)


def _model(inputs: inputs_module.Inputs) -> str:
    """Return the model asked for, or the first that the host can give."""
    offered = inputs.host.capabilities.cpu_models
    asked = inputs.spec.cpu.model
    if asked:
        checks.supported('CPU model', asked, offered)
        return asked
    models = inputs.policy.cpu_models
    for model in models:
        if not offered or model in offered:
            return model
    if not models:
        raise exception.InvalidRequest(
            reason='the CPU mode custom needs a model: name one, or set '
            '[libvirt] cpu_models')
    raise exception.UnsupportedOperation(
        tried='give a guest one of the CPU models ' + ', '.join(models),
        reason='this host can use none of them')


def _flags(
        element: cpu_module.Cpu, inputs: inputs_module.Inputs,
        kind: Mode) -> None:
    flags = {flag.name: flag.enabled
             for flag in (*inputs.policy.cpu_flags, *inputs.spec.cpu.flags)}
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
