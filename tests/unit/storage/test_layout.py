# SPDX-License-Identifier: Apache-2.0

import dataclasses
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import layout
from nova_libvirt_driver.testing import specs
from tests import base

POLICY = policy_spec.GuestPolicy()
QCOW2 = policy_spec.ImageBackend.QCOW2
BUS = disk_spec.DiskBus


def spec(
        *, config_drive: str = '', machine: str = '', arch: str = '',
        **storage: typing.Any) -> guest_spec.GuestSpec:
    made = specs.guest_spec('vm', 'img-1')
    return dataclasses.replace(
        made, storage=dataclasses.replace(made.storage, **storage),
        boot=boot_spec.BootSpec(machine=machine, arch=arch),
        config_drive=(configdrive_spec.ConfigDriveSpec(device=config_drive)
                      if config_drive else None))


def volume(target_dev: str, **fields: typing.Any) -> disk_spec.DiskSpec:
    return disk_spec.DiskSpec(
        target_dev=target_dev, bus=BUS.VIRTIO, format='raw',
        source=disk_spec.DiskSource(path='/dev/volume'), **fields)


def folder_of(made: guest_spec.GuestSpec) -> folder_module.InstanceFolder:
    return folder_module.InstanceFolder('/i', made.uuid)


def plan(
        made: guest_spec.GuestSpec,
        policy: policy_spec.GuestPolicy = POLICY,
        ) -> tuple[disk_spec.DiskSpec, ...]:
    folder = folder_of(made)
    return layout.plan(
        made, folder, layout.planned_formats(made, folder, QCOW2), policy)


def rescue(
        made: guest_spec.GuestSpec,
        stable: disk_spec.RescueDevice | None = None,
        ) -> tuple[disk_spec.DiskSpec, ...]:
    folder = folder_of(made)
    return layout.plan_rescue(
        made, folder, layout.planned_formats(made, folder, QCOW2), POLICY,
        stable_device=stable)


def brief(disks: tuple[disk_spec.DiskSpec, ...]) -> list[str]:
    return [' '.join(filter(None, (
        disk.target_dev, disk.bus, disk.format, disk.device,
        disk.source.path.rpartition('/')[2], str(disk.boot_order or ''))))
        for disk in disks]


class IoTest(base.TestCase):

    def test_native_where_the_cache_is_not_in_its_way(self) -> None:
        for cache, io in (('none', 'native'), ('directsync', 'native'),
                          ('writeback', 'threads')):
            disks = plan(
                spec(config_drive='cdrom'), policy_spec.GuestPolicy(
                    disk_io='native', disk_cachemodes={'file': cache}))

            self.assertEqual({io}, {disk.io for disk in disks})


FULL: dict[str, typing.Any] = {
    'ephemerals': (disk_spec.LocalDisk(size_mib=1),
                   disk_spec.LocalDisk(size_mib=1)),
    'swap': disk_spec.LocalDisk(size_mib=1)}


class PlanTest(base.TestCase):

    def test_all_disks_in_their_order(self) -> None:
        made = spec(config_drive='cdrom', machine='pc',
                    volumes=(volume('vdb'), volume('')), **FULL)

        self.assertEqual([
            'vda virtio qcow2 disk disk 1',
            'vdc virtio qcow2 disk disk.eph0',
            'vdd virtio qcow2 disk disk.eph1',
            'vde virtio qcow2 disk disk.swap',
            'hda ide raw cdrom disk.config',
            'vdb virtio raw disk volume',
            'vdf virtio raw disk volume'], brief(plan(made)))

    def test_a_guest_without_a_root_disk(self) -> None:
        made = spec(image_id='', volumes=(volume('vda', boot_order=1),))

        self.assertEqual(['vda virtio raw disk volume 1'],
                         brief(plan(made)))

    def test_a_blank_root_disk(self) -> None:
        self.assertEqual(['vda virtio qcow2 disk disk 1'],
                         brief(plan(spec(image_id='', root_gib=1))))

    def test_who_has_a_say_in_the_bus(self) -> None:
        policy = policy_spec.GuestPolicy(disk_bus=BUS.SATA)
        swap = disk_spec.LocalDisk(size_mib=1, bus=BUS.USB)

        for made, used, wanted in (
                (spec(), POLICY, ['vda']), (spec(), policy, ['sda']),
                (spec(bus=BUS.IDE), policy, ['hda']),
                (spec(bus=BUS.SCSI, swap=swap), POLICY, ['sda', 'sdb'])):
            self.assertEqual(
                wanted, [disk.target_dev for disk in plan(made, used)])

    def test_a_machine_without_ide_has_sata_instead(self) -> None:
        made = spec(bus=BUS.IDE, machine='pc-q35-7.2', config_drive='cdrom',
                    swap=FULL['swap'])

        self.assertEqual([
            'sda sata qcow2 disk disk 1', 'sdb sata qcow2 disk disk.swap',
            'sdc sata raw cdrom disk.config'], brief(plan(made)))

    def test_where_a_config_drive_is_put(self) -> None:
        for machine, arch, bus, name in (
                ('pc-i440fx-7.2', '', 'ide', 'hda'), ('', '', 'ide', 'hda'),
                ('pc-q35-7.2', '', 'sata', 'sda'),
                ('virt', 'aarch64', 'scsi', 'sda'),
                ('', 's390x', 'scsi', 'sda')):
            disk = plan(spec(
                config_drive='cdrom', machine=machine, arch=arch))[-1]

            self.assertEqual((bus, name, True), (
                disk.bus, disk.target_dev, disk.readonly))

    def test_a_config_drive_that_is_a_disk(self) -> None:
        for bus, name in (
                (BUS.VIRTIO, 'vdb'), (BUS.SCSI, 'sdb'), (BUS.IDE, 'hdb'),
                (BUS.SATA, 'sdb')):
            disk = plan(spec(config_drive='disk', bus=bus))[-1]

            self.assertEqual((bus, name, False, 'raw'), (
                disk.bus, disk.target_dev, disk.readonly, disk.format))

    def test_a_root_disk_that_is_a_cdrom(self) -> None:
        [disk] = plan(spec(root_device=disk_spec.DiskDevice.CDROM,
                           machine='q35'))

        self.assertEqual((BUS.SATA, 'sda', True, 1), (
            disk.bus, disk.target_dev, disk.readonly, disk.boot_order))

    def test_what_is_asked_of_the_disks(self) -> None:
        tune = disk_spec.IoTune(total_iops=5)
        found = plan(spec(
            bus=BUS.SCSI, scsi_model='virtio-scsi', discard='unmap',
            iotune=tune, swap=FULL['swap'], config_drive='cdrom'))

        self.assertEqual(
            [('virtio-scsi', 'unmap', tune)] * 2 + [('', 'unmap', tune)],
            [(disk.scsi_model, disk.discard, disk.iotune)
             for disk in found])

    def test_the_hosts_prefix_of_names(self) -> None:
        policy = policy_spec.GuestPolicy(disk_prefix='xvd')

        self.assertEqual(['xvda', 'xvdb'], [
            disk.target_dev for disk in plan(
                spec(config_drive='cdrom'), policy)])

    def test_no_more_disks_than_there_may_be(self) -> None:
        swap = disk_spec.LocalDisk(size_mib=1)
        few = policy_spec.GuestPolicy(disks_max=2)

        self.assertEqual(3, len(plan(spec(
            config_drive='cdrom', machine='pc', swap=swap), few)))
        for made, policy in (
                (spec(swap=swap, ephemerals=(swap,)), few),
                (spec(machine='pc', bus=BUS.IDE, config_drive='cdrom',
                      swap=swap, ephemerals=(swap,) * 2), POLICY)):
            self.assertRaises(exception.InvalidRequest, plan, made, policy)
        self.assertRaises(
            exception.InvalidRequest, layout.free_name, volume(''),
            ('vda', 'vdb'), spec(), few)

    def test_more_disks_than_letters(self) -> None:
        many = (disk_spec.LocalDisk(size_mib=1),) * 30

        names = [disk.target_dev for disk in plan(spec(ephemerals=many))]

        self.assertEqual(['vdz', 'vdaa', 'vdab'], names[25:28])
        self.assertEqual(31, len(set(names)))

    def test_a_disk_without_a_record_is_refused(self) -> None:
        made = spec(**FULL)
        folder = folder_of(made)
        formats = layout.planned_formats(made, folder, QCOW2)
        for path in (folder.disk, folder.swap, folder.ephemeral(1)):
            lacking = {key: value for key, value in formats.items()
                       if key != path}

            error = self.assertRaises(
                exception.StorageFailure, layout.plan, made, folder,
                lacking, POLICY)

            self.assertIn(path, str(error))

    def test_the_record_has_its_way(self) -> None:
        made = spec()
        folder = folder_of(made)

        [disk] = layout.plan(made, folder, {folder.disk: 'raw'}, POLICY)

        self.assertEqual('raw', disk.format)


class RescueTest(base.TestCase):

    def test_the_rescue_disk_takes_the_place_of_the_root_disk(self) -> None:
        made = spec(config_drive='cdrom', volumes=(volume('vdb'),), **FULL)

        self.assertEqual([
            'vda virtio qcow2 disk disk.rescue 1',
            'vdb virtio qcow2 disk disk',
            'hda ide raw cdrom disk.config.rescue'],
            brief(rescue(made)))

    def test_stable_devices_keep_their_names(self) -> None:
        made = spec(config_drive='cdrom', swap=FULL['swap'],
                    volumes=(volume('vdb', boot_order=2),))

        self.assertEqual([
            'vda virtio qcow2 disk disk',
            'vdc virtio qcow2 disk disk.swap',
            'hda ide raw cdrom disk.config.rescue',
            'vdb virtio raw disk volume',
            'vdd virtio qcow2 disk disk.rescue 1'],
            brief(rescue(made, disk_spec.RescueDevice())))

    def test_the_rescue_disk_is_the_device_that_is_asked_for(self) -> None:
        for device, bus, machine, last in (
                ('disk', BUS.USB, 'pc', 'sda usb qcow2 disk'),
                ('cdrom', BUS.SCSI, 'pc', 'sda scsi qcow2 cdrom'),
                ('cdrom', None, 'pc', 'hda ide qcow2 cdrom'),
                ('cdrom', None, 'q35', 'sda sata qcow2 cdrom'),
                ('floppy', None, 'q35', 'fda fdc qcow2 floppy')):
            made = spec(machine=machine)

            found = rescue(made, disk_spec.RescueDevice(
                device=disk_spec.DiskDevice(device), bus=bus))

            self.assertEqual(f'{last} disk.rescue 1', brief(found)[-1])
            self.assertEqual(device == 'cdrom', found[-1].readonly)

    def test_a_rescue_disk_without_a_record_is_refused(self) -> None:
        made = spec()
        folder = folder_of(made)

        self.assertRaises(
            exception.StorageFailure, layout.plan_rescue, made, folder,
            {folder.disk: 'qcow2'}, POLICY,
            stable_device=disk_spec.RescueDevice())
