# SPDX-License-Identifier: Apache-2.0

"""Guests and hosts that the tests of the configurators start from."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.spec import capabilities as capabilities_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver.spec import policy as policy_spec

VNC = console_spec.GraphicsSpec(kind=console_spec.GraphicsKind.VNC)
SPICE = console_spec.GraphicsSpec(kind=console_spec.GraphicsKind.SPICE)

UUID = '6d3a1a52-3f6c-4a5b-9c1e-0a1b2c3d4e5f'
SECRET = '7e57ab1e-0000-4000-8000-000000000001'
FOLDER = f'/instances/{UUID}'
"""The functional tests put a folder of their own in its place."""

MODELS = frozenset({'qemu64', 'kvm64', 'Nehalem', 'Penryn'})

PC_CAPABILITIES = capabilities_spec.DomainCapabilities(
    arch='x86_64', machine='pc-i440fx-7.2', uefi=True, secure_boot=False,
    stateless_firmware=True,
    loaders=('/usr/share/OVMF/OVMF_CODE_4M.fd',),
    cpu_modes=frozenset({'maximum', 'host-model', 'custom'}),
    cpu_models=MODELS,
    disk_buses=frozenset({'ide', 'fdc', 'scsi', 'virtio', 'usb', 'sata'}),
    graphics=frozenset({'vnc', 'spice'}),
    video_models=frozenset({'vga', 'cirrus', 'qxl', 'virtio', 'none'}),
    rng_backends=frozenset({'random', 'egd', 'builtin'}),
    tpm_models=frozenset({'tpm-tis', 'tpm-crb'}),
    tpm_versions=frozenset({'1.2', '2.0'}),
    memory_sources=frozenset({'file', 'anonymous', 'memfd'}))

Q35_CAPABILITIES = dataclasses.replace(
    PC_CAPABILITIES, machine='pc-q35-7.2', secure_boot=True,
    loaders=('/usr/share/OVMF/OVMF_CODE_4M.ms.fd',
             '/usr/share/OVMF/OVMF_CODE_4M.secboot.fd',
             '/usr/share/OVMF/OVMF_CODE_4M.fd'),
    disk_buses=PC_CAPABILITIES.disk_buses - {'ide'})

PC = capabilities_spec.GuestHost(
    hypervisor_type='QEMU', libvirt_version=9_000_000,
    hypervisor_version=7_002_000, arch='x86_64',
    capabilities=PC_CAPABILITIES,
    host_uuid='0c1a6580-974d-42d0-b83f-3387c78498c3',
    machine_id='11111111-2222-3333-4444-555555555555',
    qemu_uid=64055, qemu_gid=64055)

Q35 = dataclasses.replace(PC, capabilities=Q35_CAPABILITIES)

KVM = dataclasses.replace(
    Q35, capabilities=dataclasses.replace(
        Q35_CAPABILITIES, memory_encryption=True,
        cpu_modes=Q35_CAPABILITIES.cpu_modes | {'host-passthrough'}))

IN_PROCESS = capabilities_spec.GuestHost(
    hypervisor_type='TEST', libvirt_version=9_000_000,
    hypervisor_version=2, arch='x86_64',
    capabilities=capabilities_spec.DomainCapabilities(arch='x86_64'))

QEMU_POLICY = policy_spec.GuestPolicy(tb_cache_mib=32)
KVM_POLICY = policy_spec.GuestPolicy(virt_type='kvm')

FLAVOR = flavor_spec.Flavor(name='m1.tiny', vcpus=1, memory_mib=64)

METADATA = guest_spec.GuestMetadata(
    display_name='one', flavor=FLAVOR, created_at='2026-11-25T12:00:00')

ROOT = disk_spec.DiskSpec(
    target_dev='vda', bus=disk_spec.DiskBus.VIRTIO, format='qcow2',
    source=disk_spec.DiskSource(path=f'{FOLDER}/disk'), boot_order=1)


def guest(**changes: Any) -> guest_spec.GuestSpec:
    """Return the smallest guest, changed."""
    plain = guest_spec.GuestSpec(
        uuid=UUID, name='instance-00000001', metadata=METADATA,
        cpu=cpu_spec.CpuSpec(vcpus=1),
        memory=memory_spec.MemorySpec(size_mib=64))
    return dataclasses.replace(plain, **changes)


def inputs(
        *, host: capabilities_spec.GuestHost = PC,
        policy: policy_spec.GuestPolicy = QEMU_POLICY,
        disks: tuple[disk_spec.DiskSpec, ...] = (ROOT,),
        model_flags: Mapping[str, frozenset[str]] = {},
        **changes: Any) -> inputs_module.Inputs:
    """Return the inputs of a guest.

    :param changes: fields of its spec that differ from the smallest one's
    """
    return inputs_module.Inputs(
        spec=guest(**changes), disks=disks, host=host, policy=policy,
        model_flags=model_flags, console_log=f'{FOLDER}/console.log')


def file_disk(target_dev: str, bus: str, **changes: Any) -> disk_spec.DiskSpec:
    """Return a raw disk in a file named after its target."""
    return dataclasses.replace(
        disk_spec.DiskSpec(
            target_dev=target_dev, bus=disk_spec.DiskBus(bus), format='raw',
            source=disk_spec.DiskSource(path=f'{FOLDER}/{target_dev}')),
        **changes)


def with_graphics(
        *graphics: console_spec.GraphicsSpec) -> console_spec.ConsoleSpec:
    return console_spec.ConsoleSpec(graphics=graphics)


def graphics_host(
        graphics: set[str], cards: set[str]) -> capabilities_spec.GuestHost:
    return dataclasses.replace(PC, capabilities=dataclasses.replace(
        PC_CAPABILITIES, graphics=frozenset(graphics),
        video_models=frozenset(cards)))
