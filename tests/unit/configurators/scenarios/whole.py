# SPDX-License-Identifier: Apache-2.0

"""Guests as a whole."""

import dataclasses

from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators.scenarios import device
from tests.unit.configurators.scenarios import disk
from tests.unit.configurators.scenarios import nic
from tests.unit.configurators import values

LARGE = flavor_spec.Flavor(
    name='m1.large & <more>', id='42', vcpus=4, memory_mib=2048, root_gib=20,
    ephemeral_gib=10, swap_mib=512, extra_specs={
        'hw:cpu_policy': 'dedicated', 'note': 'a < b & "c"'})

METADATA = guest_spec.GuestMetadata(
    display_name='web <1> & \x01"two" ☃', flavor=LARGE,
    created_at='2026-11-25T12:00:00', package_version='1.2.3',
    image_id='d9aebb43-6ba2-4d0a-b7a2-68b6e3f3b8b1',
    owner=guest_spec.Owner(
        user_id='u1', user_name='al & ice', project_id='p1',
        project_name='pro<ject>'),
    image=guest_spec.ImageNote(
        fields={'containerFormat': 'bare', 'diskFormat': 'qcow2',
                'minDisk': '1', 'minRam': '0'},
        properties={'os_distro': 'deb<ian>', 'os_type': 'linux'}))

SCENARIOS = {
    'minimal': values.inputs(),
    'diskless': values.inputs(disks=()),
    'metadata': values.inputs(metadata=METADATA, nics=(nic.BRIDGE,)),
    'test-driver': values.inputs(
        host=values.IN_PROCESS, policy=policy_spec.GuestPolicy()),
    'test-driver-devices': values.inputs(
        host=values.IN_PROCESS, policy=policy_spec.GuestPolicy(),
        boot=boot_spec.BootSpec(
            machine='q35', firmware=boot_spec.Firmware.UEFI,
            secure_boot=True),
        cpu=cpu_spec.CpuSpec(
            vcpus=1, mode=cpu_spec.CpuMode.CUSTOM, model='Nehalem'),
        devices=device_spec.DeviceSpec(tpm=device_spec.TpmSpec(
            version='1.2', model='tpm-tis'))),
    'windows': values.inputs(
        host=values.KVM, policy=values.KVM_POLICY,
        features=device_spec.FeatureSpec(
            os_type=device_spec.OsType.WINDOWS),
        consoles=console_spec.ConsoleSpec(graphics=(device.VNC,))),
    'like-nova': values.inputs(
        host=values.Q35, nics=(
            dataclasses.replace(nic.VHOSTUSER, mtu=1442),
            dataclasses.replace(nic.BRIDGE, queues=2)),
        policy=policy_spec.GuestPolicy(
            cpu_models=('Nehalem',), like_nova=frozenset(
                policy_spec.LikeNova)),
        cpu=cpu_spec.CpuSpec(vcpus=2, mode=cpu_spec.CpuMode.CUSTOM),
        boot=boot_spec.BootSpec(firmware=boot_spec.Firmware.UEFI),
        devices=device_spec.DeviceSpec(
            rng=device_spec.RngSpec(rate_bytes=64))),
    'windows-like-nova': values.inputs(
        host=values.KVM, policy=dataclasses.replace(
            values.KVM_POLICY,
            like_nova=frozenset((policy_spec.LikeNova.HYPERV_STIMER,))),
        features=device_spec.FeatureSpec(
            os_type=device_spec.OsType.WINDOWS)),
    'everything': values.inputs(
        host=values.Q35, metadata=METADATA, nics=(nic.BRIDGE, nic.TAP),
        policy=policy_spec.GuestPolicy(tb_cache_mib=64, pcie_ports=8),
        cpu=cpu_spec.CpuSpec(
            vcpus=4, mode=cpu_spec.CpuMode.MAXIMUM,
            topology=cpu_spec.CpuTopology(sockets=1, cores=2, threads=2)),
        memory=memory_spec.MemorySpec(
            size_mib=256, source=memory_spec.MemorySource.MEMFD,
            shared=True),
        boot=boot_spec.BootSpec(
            firmware=boot_spec.Firmware.UEFI, secure_boot=True, menu=True),
        disks=(
            dataclasses.replace(values.ROOT, serial='root'),
            values.file_disk('vdb', 'virtio', iotune=disk.IOTUNE_TOTAL),
            values.file_disk('sda', 'scsi', scsi_model='virtio-scsi'),
            values.file_disk('sdb', 'sata', device=disk.Device.CDROM)),
        consoles=console_spec.ConsoleSpec(
            serials=(device.TCP, console_spec.SerialSpec()),
            graphics=(device.VNC, device.SPICE)),
        devices=device_spec.DeviceSpec(
            rng=device_spec.RngSpec(), tpm=device_spec.TpmSpec(),
            watchdog=device_spec.WatchdogAction.RESET, agent=True,
            sound='ich9', iommu=device_spec.IommuSpec(), vsock_cid=7)),
}
