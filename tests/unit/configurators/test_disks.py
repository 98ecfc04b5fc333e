# SPDX-License-Identifier: Apache-2.0


from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators import base
from tests.unit.configurators import values

Device = disk_spec.DiskDevice

disk = values.file_disk


class DiskTest(base.DiskTestCase):

    def test_format_is_never_left_to_qemu(self) -> None:
        root = self.build_disks(
            disk('vda', 'virtio', format='qcow2'), disk('vdb', 'virtio'))

        self.assertEqual(
            [{'name': 'qemu', 'type': 'qcow2'},
             {'name': 'qemu', 'type': 'raw'}],
            self.attributes(root, 'devices/disk/driver'))
        self.assertIn('format', self.why(disk('vda', 'virtio', format='')))

    def test_cache_and_discard_come_from_policy(self) -> None:
        root = self.build_disks(
            disk('vda', 'virtio'), disk('vdb', 'virtio', readonly=True),
            policy=policy_spec.GuestPolicy(
                disk_cachemodes={'file': 'none'}, discard='unmap'))

        self.assertEqual(
            [('none', 'unmap'), ('none', 'unmap')],
            [(one.get('cache'), one.get('discard'))
             for one in root.iterfind('devices/disk/driver')])

    def test_policy_is_for_one_kind_of_source(self) -> None:
        policy = policy_spec.GuestPolicy(disk_cachemodes={'block': 'none'})

        root = self.build_disks(disk('vda', 'virtio'), policy=policy)

        self.assertIsNone(
            self.attribute(root, 'devices/disk/driver', 'cache'))

    def test_target_that_is_there_twice_is_refused(self) -> None:
        self.assertIn('vda is there twice', self.why(
            disk('vda', 'virtio'), disk('vda', 'virtio')))

    def test_place_in_the_boot_order_is_for_one_device(self) -> None:
        nic = nic_spec.NicSpec(
            mac='52:54:00:00:00:01', source='default', boot_order=1)

        self.assertIn('boot order 1', self.refusal(
            exception.InvalidRequest, nics=(nic,)))

    def test_contradictions_are_refused(self) -> None:
        limit = disk_spec.IoTune(total_iops=1, read_iops=1)
        for wrong in (
                disk('vda/../x', 'virtio'), disk('', 'virtio'),
                disk('vda', 'virtio', device=Device.CDROM),
                disk('vda', 'virtio', device=Device.FLOPPY),
                disk('fda', 'fdc'),
                disk('sda', 'scsi', device=Device.LUN),
                disk('vda', 'virtio', shareable=True, format='qcow2'),
                disk('hda', 'ide', queues=2), disk('vda', 'virtio', unit=1),
                disk('vda', 'virtio', scsi_model='lsilogic'),
                disk('vda', 'virtio', iotune=limit),
                disk('vda', 'virtio', io='native'),
                disk('vda', 'virtio', io='native', cache='writeback')):
            self.assertIn(wrong.target_dev, self.why(wrong))

    def test_native_io_may_have_its_cache_mode_from_policy(self) -> None:
        policy = policy_spec.GuestPolicy(
            disk_cachemodes={'file': 'directsync'})

        root = self.build_disks(
            disk('vda', 'virtio', io='native'), policy=policy)

        self.assertEqual('native', self.attribute(
            root, 'devices/disk/driver', 'io'))

    def test_a_lun_says_by_itself_what_it_is(self) -> None:
        lun = disk(
            'sda', 'scsi', device=Device.LUN, serial='serial',
            wwn='5000c50015ea71ad', logical_block_bytes=512,
            physical_block_bytes=4096, source=disk_spec.DiskSource(
                kind=disk_spec.SourceKind.BLOCK, path='/dev/sdx'))

        element = self.build_disks(lun).find('devices/disk')

        assert element is not None
        for name in ('serial', 'wwn', 'blockio'):
            self.assertIsNone(element.find(name), name)

    def test_bus_that_the_machine_lacks_is_refused(self) -> None:
        self.assertIn('ide', self.refusal(
            exception.UnsupportedOperation, host=values.Q35,
            boot=boot_spec.BootSpec(machine='q35'),
            disks=(disk('hda', 'ide'),)))

    def test_empty_drive_has_no_source(self) -> None:
        root = self.build_disks(disk(
            'hda', 'ide', device=Device.CDROM,
            source=disk_spec.DiskSource()))

        self.assertIsNone(root.find('devices/disk/source'))
        self.assertIsNotNone(root.find('devices/disk/readonly'))
