# SPDX-License-Identifier: Apache-2.0

"""A small, a usual and a full guest, with the host they are for."""

from collections.abc import Mapping
import dataclasses

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import capabilities as capabilities_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.testing import specs

_FOLDER = '/var/lib/nova-libvirt/instances/one'
_VNC = console_spec.GraphicsSpec(kind=console_spec.GraphicsKind.VNC)
_SPICE = console_spec.GraphicsSpec(kind=console_spec.GraphicsKind.SPICE)

_HOST = capabilities_spec.GuestHost(
    hypervisor_type='QEMU', libvirt_version=9_000_000,
    hypervisor_version=7_002_000, arch='x86_64',
    host_uuid='0c1a6580-974d-42d0-b83f-3387c78498c3',
    qemu_uid=64055, qemu_gid=64055,
    capabilities=capabilities_spec.DomainCapabilities(
        arch='x86_64', machine='pc-q35-7.2', uefi=True, secure_boot=True,
        loaders=('/usr/share/OVMF/OVMF_CODE_4M.ms.fd',),
        disk_buses=frozenset({'scsi', 'virtio', 'usb', 'sata'}),
        graphics=frozenset({'vnc', 'spice'}),
        tpm_models=frozenset({'tpm-tis', 'tpm-crb'}),
        tpm_versions=frozenset({'2.0'}),
        memory_sources=frozenset({'file', 'anonymous', 'memfd'})))


def _disk(target_dev: str, bus: str, **changes: object) -> disk_spec.DiskSpec:
    made = disk_spec.DiskSpec(
        target_dev=target_dev, bus=disk_spec.DiskBus(bus), format='qcow2',
        source=disk_spec.DiskSource(path=f'{_FOLDER}/{target_dev}'))
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def _nic(number: int) -> nic_spec.NicSpec:
    return nic_spec.NicSpec(
        mac=f'52:54:00:00:00:{number:02x}', kind=nic_spec.NicKind.BRIDGE,
        source='br-int', target_dev=f'tap{number}', mtu=1450, queues=2,
        virtualport_type='openvswitch',
        interface_id=f'a0000000-0000-4000-8000-0000000000{number:02x}',
        inbound=nic_spec.NicBandwidth(average_kib_s=1024))


def _inputs(
        spec: guest_spec.GuestSpec, *disks: disk_spec.DiskSpec,
) -> inputs_module.Inputs:
    return inputs_module.Inputs(
        spec=spec, host=_HOST, disks=disks,
        policy=policy_spec.GuestPolicy(tb_cache_mib=64, pcie_ports=16),
        console_log=f'{_FOLDER}/console.log')


_ROOT = _disk('vda', 'virtio', boot_order=1)
_PLAIN = device_spec.DeviceSpec()

_USUAL = specs.guest_spec(
    'one', memory_mib=2048, cpu=cpu_spec.CpuSpec(vcpus=2), nics=(_nic(1),),
    consoles=console_spec.ConsoleSpec(graphics=(_VNC,)),
    devices=dataclasses.replace(_PLAIN, rng=device_spec.RngSpec()))

_FULL = dataclasses.replace(
    _USUAL,
    metadata=guest_spec.GuestMetadata(
        display_name='one of <many> & more', created_at=specs.CREATED_AT,
        image_id='d9aebb43-6ba2-4d0a-b7a2-68b6e3f3b8b1',
        owner=guest_spec.Owner(
            user_id='u1', user_name='alice', project_id='p1',
            project_name='project'),
        flavor=flavor_spec.Flavor(
            name='large', vcpus=8, memory_mib=8192, extra_specs={
                f'hw:number_{number}': str(number)
                for number in range(10)})),
    cpu=cpu_spec.CpuSpec(
        vcpus=8, mode=cpu_spec.CpuMode.MAXIMUM,
        pins=tuple(cpu_spec.VcpuPin(
            vcpu=number, host_cpus=frozenset({number}))
            for number in range(8)),
        topology=cpu_spec.CpuTopology(sockets=1, cores=4, threads=2)),
    memory=memory_spec.MemorySpec(
        size_mib=8192, source=memory_spec.MemorySource.MEMFD, shared=True),
    boot=boot_spec.BootSpec(
        firmware=boot_spec.Firmware.UEFI, secure_boot=True),
    nics=tuple(map(_nic, range(4))),
    consoles=console_spec.ConsoleSpec(
        serials=(console_spec.SerialSpec(), console_spec.SerialSpec()),
        graphics=(_VNC, _SPICE)),
    devices=device_spec.DeviceSpec(
        rng=device_spec.RngSpec(), tpm=device_spec.TpmSpec(), agent=True,
        watchdog=device_spec.WatchdogAction.RESET, sound='ich9',
        iommu=device_spec.IommuSpec(), vsock_cid=7))

GUESTS: Mapping[str, inputs_module.Inputs] = {
    'small': _inputs(specs.guest_spec('one'), _ROOT),
    'usual': _inputs(_USUAL, _ROOT, _disk('sda', 'sata')),
    'full': _inputs(
        _FULL, _ROOT,
        *(_disk(f'vd{letter}', 'virtio', iotune=disk_spec.IoTune(
            total_bytes_s=1_000_000, total_iops=100))
            for letter in 'bcde'),
        _disk('sda', 'scsi', scsi_model='virtio-scsi'),
        _disk('sdb', 'sata', device=disk_spec.DiskDevice.CDROM))}
