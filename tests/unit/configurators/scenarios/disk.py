# SPDX-License-Identifier: Apache-2.0

"""Guests that differ in their disks."""

from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators import values

Device = disk_spec.DiskDevice
Kind = disk_spec.SourceKind

IOTUNE_TOTAL = disk_spec.IoTune(
    total_bytes_s=1_000_000, total_iops=100, total_bytes_s_max=2_000_000,
    total_iops_max=200, size_iops=4096)

IOTUNE_EACH = disk_spec.IoTune(
    read_bytes_s=1_000_000, write_bytes_s=2_000_000, read_iops=100,
    write_iops=200, read_bytes_s_max=3_000_000,
    write_bytes_s_max=4_000_000, read_iops_max=300, write_iops_max=400)

EXPORT = disk_spec.DiskSource(
    kind=Kind.NETWORK, protocol='rbd', path='volumes/volume-1',
    hosts=(disk_spec.NetworkHost(name='192.0.2.1', port=6789),
           disk_spec.NetworkHost(name='192.0.2.2', port=6789)),
    auth_username='cinder', auth_secret_type='ceph',
    auth_secret_uuid=values.SECRET)

SOCKET = disk_spec.DiskSource(
    kind=Kind.NETWORK, protocol='nbd', path='volume-2',
    hosts=(disk_spec.NetworkHost(socket=f'{values.FOLDER}/nbd'),))

SCENARIOS = {
    'disk-buses': values.inputs(disks=(
        values.ROOT,
        values.file_disk('hda', 'ide'),
        values.file_disk('sda', 'scsi', scsi_model='virtio-scsi', unit=3,
                         queues=2),
        values.file_disk('sdb', 'sata'),
        values.file_disk('sdc', 'usb'),
        values.file_disk('fda', 'fdc', device=Device.FLOPPY))),
    'disk-options': values.inputs(disks=(
        values.file_disk(
            'vda', 'virtio', cache='none', io='native', discard='unmap',
            id='6d3a1a52-volume', serial='6d3a1a52-serial', queues=4,
            shareable=True,
            logical_block_bytes=4096, physical_block_bytes=4096),
        values.file_disk('vdb', 'virtio', readonly=True),
        values.file_disk('sda', 'scsi', wwn='5000c50015ea71ad'))),
    'disk-policy': values.inputs(
        policy=policy_spec.GuestPolicy(
            disk_cachemodes={'file': 'writeback', 'block': 'none',
                             'network': 'directsync'},
            discard='unmap'),
        disks=(values.ROOT,
               values.file_disk('vdb', 'virtio', cache='unsafe',
                                discard='ignore'),
               values.file_disk('vdc', 'virtio', source=disk_spec.DiskSource(
                   kind=Kind.BLOCK, path='/dev/mapper/volume-1')),
               values.file_disk('vdd', 'virtio', source=SOCKET))),
    'disk-block': values.inputs(disks=(
        values.file_disk('vda', 'virtio', source=disk_spec.DiskSource(
            kind=Kind.BLOCK, path='/dev/mapper/volume-1')),
        values.file_disk(
            'sda', 'scsi', device=Device.LUN,
            source=disk_spec.DiskSource(kind=Kind.BLOCK, path='/dev/sdx')))),
    'disk-network': values.inputs(disks=(
        values.file_disk('vda', 'virtio', source=EXPORT),
        values.file_disk('vdb', 'virtio', source=SOCKET))),
    'disk-iotune': values.inputs(disks=(
        values.file_disk('vda', 'virtio', iotune=IOTUNE_TOTAL),
        values.file_disk('vdb', 'virtio', iotune=IOTUNE_EACH))),
    'disk-luks': values.inputs(disks=(
        values.file_disk(
            'vda', 'virtio',
            encryption=disk_spec.DiskEncryption(secret_uuid=values.SECRET)),
        values.file_disk(
            'vdb', 'virtio', source=EXPORT,
            encryption=disk_spec.DiskEncryption(
                secret_uuid=values.SECRET, format='luks2')))),
    'disk-config-drive': values.inputs(disks=(
        values.ROOT,
        values.file_disk('hda', 'ide', device=Device.CDROM,
                         readonly=True))),
    'disk-config-drive-q35': values.inputs(
        host=values.Q35, boot=boot_spec.BootSpec(machine='q35'), disks=(
            values.ROOT,
            values.file_disk('sda', 'sata', device=Device.CDROM,
                             boot_order=2))),
}
