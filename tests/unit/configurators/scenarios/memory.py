# SPDX-License-Identifier: Apache-2.0

"""Guests that differ in their memory."""

from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators import values

Source = memory_spec.MemorySource

CELLS = (
    cpu_spec.NumaCell(id=0, vcpus=frozenset({0}), memory_mib=64,
                      page_size_kib=2048, shared_memory=True),
    cpu_spec.NumaCell(id=1, vcpus=frozenset({1}), memory_mib=64),
)

SCENARIOS = {
    'memory-huge-pages': values.inputs(memory=memory_spec.MemorySpec(
        size_mib=64, page_size_kib=2048)),
    'memory-huge-pages-of-a-cell': values.inputs(
        cpu=cpu_spec.CpuSpec(vcpus=2, cells=CELLS),
        memory=memory_spec.MemorySpec(size_mib=128)),
    'memory-file': values.inputs(memory=memory_spec.MemorySpec(
        size_mib=64, source=Source.FILE)),
    'memory-memfd-shared': values.inputs(memory=memory_spec.MemorySpec(
        size_mib=64, source=Source.MEMFD, shared=True)),
    'memory-policy': values.inputs(policy=policy_spec.GuestPolicy(
        memory_source=Source.MEMFD)),
    'memory-locked': values.inputs(memory=memory_spec.MemorySpec(
        size_mib=64, locked=True, balloon=False)),
    'memory-encrypted': values.inputs(
        host=values.KVM, policy=values.KVM_POLICY,
        boot=boot_spec.BootSpec(firmware=boot_spec.Firmware.UEFI),
        memory=memory_spec.MemorySpec(size_mib=64, encrypted=True)),
}
