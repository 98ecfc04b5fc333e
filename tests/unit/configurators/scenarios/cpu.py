# SPDX-License-Identifier: Apache-2.0

"""Guests that differ in their virtual CPUs."""

import dataclasses

from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators import values

Mode = cpu_spec.CpuMode

CELLS = (
    cpu_spec.NumaCell(id=0, vcpus=frozenset({0, 1}), memory_mib=64,
                      host_node=0),
    cpu_spec.NumaCell(id=1, vcpus=frozenset({2, 3}), memory_mib=64),
)

PINS = tuple(cpu_spec.VcpuPin(vcpu=number, host_cpus=frozenset({number % 2}))
             for number in range(4))

SCENARIOS = {
    'cpu-none': values.inputs(cpu=cpu_spec.CpuSpec(
        vcpus=2, mode=Mode.NONE)),
    'cpu-kvm-default': values.inputs(
        host=values.KVM, policy=values.KVM_POLICY),
    'cpu-host-model': values.inputs(cpu=cpu_spec.CpuSpec(
        vcpus=1, mode=Mode.HOST_MODEL)),
    'cpu-host-passthrough': values.inputs(
        host=values.KVM, policy=values.KVM_POLICY,
        cpu=cpu_spec.CpuSpec(vcpus=1, mode=Mode.HOST_PASSTHROUGH)),
    'cpu-maximum': values.inputs(cpu=cpu_spec.CpuSpec(
        vcpus=1, mode=Mode.MAXIMUM)),
    'cpu-addresses': values.inputs(cpu=cpu_spec.CpuSpec(
        vcpus=1, max_address=cpu_spec.MaxAddress(mode='emulate', bits=42))),
    'cpu-custom': values.inputs(cpu=cpu_spec.CpuSpec(
        vcpus=1, mode=Mode.CUSTOM, model='Nehalem', flags=(
            cpu_spec.CpuFlag(name='pcid'),
            cpu_spec.CpuFlag(name='x2apic', enabled=False)))),
    'cpu-policy': values.inputs(policy=policy_spec.GuestPolicy(
        cpu_mode=Mode.CUSTOM,
        cpu_models=('Icelake-Server', 'Penryn', 'Nehalem'),
        cpu_flags=(cpu_spec.CpuFlag(name='aes', enabled=False),))),
    'cpu-by-flags': dataclasses.replace(values.inputs(
        policy=policy_spec.GuestPolicy(
            cpu_mode=Mode.CUSTOM, cpu_models=('Penryn', 'Nehalem'),
            perf_events=('cmt',)),
        cpu=cpu_spec.CpuSpec(vcpus=1, needed_flags=frozenset({'aes'}))),
        model_flags={'Nehalem': frozenset({'aes'}), 'Penryn': frozenset()}),
    'cpu-topology': values.inputs(cpu=cpu_spec.CpuSpec(
        vcpus=12, topology=cpu_spec.CpuTopology(
            sockets=2, cores=3, threads=2))),
    'cpu-tune': values.inputs(cpu=cpu_spec.CpuSpec(
        vcpus=2, host_cpus=frozenset({0, 1}), pins=PINS[:1],
        tune=cpu_spec.CpuTune(
            shares=2048, period_us=100_000, quota_us=50_000))),
    'cpu-numa': values.inputs(
        cpu=cpu_spec.CpuSpec(vcpus=4, cells=CELLS, pins=PINS,
                             emulator_cpus=frozenset({0, 1})),
        memory=memory_spec.MemorySpec(size_mib=128)),
    'cpu-realtime': values.inputs(
        host=values.KVM, policy=values.KVM_POLICY,
        cpu=cpu_spec.CpuSpec(
            vcpus=4, pins=PINS, emulator_cpus=frozenset({0}),
            realtime_vcpus=frozenset({1, 2, 3}), realtime_priority=2),
        memory=memory_spec.MemorySpec(size_mib=128, locked=True)),
}
