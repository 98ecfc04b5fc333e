# SPDX-License-Identifier: Apache-2.0

"""Volumes of servers, and what Nova is told of them."""

import datetime
import json
import os
from typing import Any
import unittest
from unittest import mock

import libvirt
from nova import exception as nova_exception
from nova import objects

from nova_libvirt_driver import driver
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import volumes
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.testing import fake_guest
from nova_libvirt_driver.testing import fake_secret
from nova_libvirt_driver.testing import fake_xml
from nova_libvirt_driver.testing import specs
from tests.nova import test_translate
from tests.nova import volumes_rig as rig

END = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)


def rescued(**properties: Any) -> disk_spec.RescueDevice | None:
    return volumes.rescue_device(test_translate.make_image(**properties))


class PlaceTest(unittest.TestCase):

    def place(self, properties: dict[str, Any] | None = None,
              **fields: Any) -> volume_spec.Placement:
        instance = test_translate.make_instance()
        instance.system_metadata = {
            f'image_{name}': value
            for name, value in (properties or {}).items()}
        made, = volumes.Volumes(
            mock.Mock(spec=driver.LibvirtDriver), None, instance,
            {'block_device_mapping': [rig.device(rig.connection(), **fields)]}
        ).wanted
        return made.place

    def test_where_a_volume_is(self) -> None:
        cdrom = {'device_type': 'cdrom'}
        for fields, properties, expected in (
                ({}, {}, ('vdb', 'virtio', 'disk', None, '')),
                ({'disk_bus': 'sata', 'boot_index': 0}, {},
                 ('vdb', 'sata', 'disk', 1, '')),
                ({'boot_index': -1}, {'hw_disk_bus': 'scsi',
                                      'hw_scsi_model': 'virtio-scsi'},
                 ('vdb', 'virtio', 'disk', None, '')),
                ({'boot_index': -1, 'name': '/dev/sdb'},
                 {'hw_disk_bus': 'sata', 'hw_scsi_model': 'virtio-scsi'},
                 ('sdb', 'scsi', 'disk', None, 'virtio-scsi')),
                ({'name': None}, {'hw_disk_bus': 'sata'},
                 ('', 'sata', 'disk', None, '')),
                ({'disk_bus': 'xen'}, {},
                 ('vdb', 'virtio', 'disk', None, '')),
                (cdrom, {}, ('vdb', 'ide', 'cdrom', None, '')),
                (cdrom, {'hw_machine_type': 'q35'},
                 ('vdb', 'sata', 'cdrom', None, '')),
                # Its machine has no IDE.
                (cdrom, {'hw_architecture': 'aarch64'},
                 ('vdb', 'scsi', 'cdrom', None, '')),
                (cdrom, {'hw_emulation_architecture': 'ppc64le'},
                 ('vdb', 'scsi', 'cdrom', None, '')),
                (cdrom, {'hw_cdrom_bus': 'usb'},
                 ('vdb', 'usb', 'cdrom', None, '')),
                ({'device_type': 'lun', 'disk_bus': 'scsi'}, {},
                 ('vdb', 'scsi', 'lun', None, '')),
                ({'name': None}, {}, ('', 'virtio', 'disk', None, ''))):
            with self.subTest(fields=fields, properties=properties):
                place = self.place(properties, **fields)

                self.assertEqual(expected, (
                    place.target_dev, place.bus, place.device,
                    place.boot_order, place.scsi_model))


class NameTest(unittest.TestCase):

    def test_the_root_disk_is_named_after_its_bus(self) -> None:
        for properties, found, name in (
                ({}, None, '/dev/vda'), ({'hw_disk_bus': 'scsi'}, None,
                                         '/dev/sda'),
                ({}, {'disk_bus': 'ide'}, '/dev/hda'),
                ({'hw_disk_bus': 'scsi'}, {}, '/dev/sda'),
                ({}, {'device_type': 'cdrom'}, '/dev/hda'),
                ({'hw_architecture': 'aarch64'}, {'device_type': 'cdrom'},
                 '/dev/sda')):
            self.assertEqual(name, volumes.root_name(
                test_translate.make_image(**properties), found))


class AttachmentTest(rig.VolumesTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.core = driver.LibvirtDriver()
        self.core.init_host('here')
        self.addCleanup(self.core.cleanup_host, 'here')
        self.instance = test_translate.make_instance(host='here')
        self.spec = specs.guest_spec('one', uuid=self.instance.uuid)

    def volumes(self, *devices: rig.Device, **options: Any) -> volumes.Volumes:
        return volumes.Volumes(
            self.core, self.context, self.instance,
            {'block_device_mapping': devices}, **options)

    def add_guest(self, disks: str = '') -> None:
        """Let the server have a guest, with these disks."""
        guest = fake_guest.Guest(
            'one', self.instance.uuid, libvirt.VIR_DOMAIN_RUNNING,
            definition=fake_xml.minimal(
                'one', self.instance.uuid, owned=True).replace(
                    '<devices/>', f'<devices>{disks}</devices>'))
        self.hypervisor.guests.append(guest)

    def test_a_guest_is_made_with_what_is_saved(self) -> None:
        found = rig.device(rig.connection())

        spec = self.volumes(found).prepare(self.spec)

        disk, = spec.storage.volumes
        self.assertEqual(
            (os.path.join(self.devices, rig.VOLUME), disk_spec.DiskBus.VIRTIO),
            (disk.source.path, disk.bus))
        self.assertEqual(disk.source.path,
                         found['connection_info']['data']['device_path'])
        self.assertEqual(1, found.saved)

    def test_the_host_is_disconnected_by_force(self) -> None:
        found = rig.device(rig.connection(), boot_index=0)
        self.volumes(found).prepare(self.spec)

        self.volumes(rig.device(rig.connection())).disconnect()

        self.assertEqual([True], [call[-1] for call in self.brick.calls])
        self.assertEqual([], os.listdir(self.devices))

    def test_what_qemu_connects_ends_with_it(self) -> None:
        self.volumes(
            rig.device(rig.connection('rbd')), rig.device({})).disconnect()

        self.assertEqual([], self.brick.calls)

    def test_the_secret_of_a_volume_is_removed(self) -> None:
        kept = fake_secret.Kept(
            rig.SECRET, rig.VOLUME, private=False, ephemeral=False,
            usage_type=libvirt.VIR_SECRET_USAGE_TYPE_VOLUME)
        self.hypervisor.secrets.append(kept)

        self.volumes(rig.device(rig.connection()),
                     destroy_secrets=False).disconnect()
        self.assertEqual([kept], self.hypervisor.secrets)

        self.volumes(rig.device(rig.connection())).disconnect()
        self.assertEqual([], self.hypervisor.secrets)

    def test_nova_hears_of_volumes_that_are_down(self) -> None:
        self.brick.error = OSError('no path')
        found = self.volumes(
            rig.device(rig.connection()),
            rig.device(rig.connection(volume_id=rig.OTHER), '/dev/vdc'),
            tolerant=True)
        heard: list[Any] = []
        self.add_guest()

        spec = found.prepare(self.spec)
        found.report_missing(self.core, self.instance, heard.append)

        self.assertEqual((), spec.storage.volumes)
        self.assertEqual([['/dev/vdb', '/dev/vdc']], heard)

    def test_what_nova_makes_of_it_does_no_harm(self) -> None:
        self.brick.error = OSError('no path')
        found = self.volumes(rig.device(rig.connection()), tolerant=True)
        found.prepare(self.spec)
        self.add_guest()

        def fail(devices: Any) -> None:
            raise NotImplementedError

        with self.assertLogs(volumes.LOG.logger, 'WARNING'):
            found.report_missing(self.core, self.instance, fail)
        found.report_missing(self.core, self.instance, None)

    def test_what_a_server_has_after_a_soft_reboot_is_not_missing(
            self) -> None:
        self.brick.error = OSError('no path')
        found = self.volumes(
            rig.device(rig.connection()),
            rig.device(rig.connection(volume_id=rig.OTHER), '/dev/vdc'),
            tolerant=True)
        found.prepare(self.spec)
        heard: list[Any] = []
        self.add_guest(f'<disk><serial>{rig.VOLUME}</serial></disk>')

        found.report_missing(self.core, self.instance, heard.append)

        self.assertEqual([['/dev/vdc']], heard)

    def test_a_root_volume_is_needed(self) -> None:
        self.brick.error = OSError('no path')

        with self.assertRaises(exception.VolumeFailure):
            self.volumes(rig.device(rig.connection(), boot_index=0),
                         tolerant=True).prepare(self.spec)


class RecordedTest(unittest.TestCase):

    def ids(self, **fields: Any) -> list[str]:
        """Return the ids of the volumes of a server."""
        hour = datetime.timedelta(hours=1)
        devices = [objects.BlockDeviceMapping(
            source_type='volume', destination_type='volume', no_device=False,
            volume_id=volume_id, connection_info=json.dumps(rig.connection()),
            device_name='/dev/vdb', device_type='disk', disk_bus='virtio',
            boot_index=None, guest_format=None, attachment_id=None,
            volume_size=1, delete_on_termination=False, volume_type=None,
            deleted=deleted_at is not None, deleted_at=deleted_at)
            for volume_id, deleted_at in (
                ('now', None), ('at the end', END), ('before', END - hour))]
        with mock.patch.object(
                objects.BlockDeviceMappingList, 'get_by_instance_uuid',
                autospec=True, return_value=objects.BlockDeviceMappingList(
                    objects=devices)):
            found = volumes.recorded(None, test_translate.make_instance(
                root_device_name='/dev/vda', **fields))
        return [device.volume_id for device in found['block_device_mapping']]

    def test_what_was_detached_is_not_the_servers_any_more(self) -> None:
        self.assertEqual(['now'], self.ids())

    def test_a_deleted_server_has_what_it_had_at_its_end(self) -> None:
        self.assertEqual(['now', 'at the end'], self.ids(
            deleted=True, deleted_at=END + datetime.timedelta(seconds=9)))


class RescueDeviceTest(unittest.TestCase):

    def test_the_rescue_image_says_what_it_wants_to_be(self) -> None:
        for expected, properties in (
                (None, {}), (None, {'hw_disk_bus': 'scsi'}),
                ('disk virtio', {'hw_rescue_device': 'disk'}),
                ('disk usb', {'hw_rescue_bus': 'usb'}),
                ('disk scsi', {'hw_rescue_device': 'disk',
                               'hw_disk_bus': 'scsi'}),
                ('cdrom', {'hw_rescue_device': 'cdrom'}),
                ('cdrom usb', {'hw_rescue_device': 'cdrom',
                               'hw_rescue_bus': 'usb'}),
                ('cdrom scsi', {'hw_rescue_device': 'cdrom',
                                'hw_cdrom_bus': 'scsi'}),
                ('floppy', {'hw_rescue_device': 'floppy'})):
            found = rescued(**properties)
            self.assertEqual(expected, found and ' '.join(
                filter(None, (found.device, found.bus))))

    def test_what_no_image_can_be_is_refused(self) -> None:
        for kind in ('lun', 'fs'):
            self.assertRaises(nova_exception.UnsupportedRescueDevice,
                              rescued, hw_rescue_device=kind)
        for device, bus in (('disk', 'xen'), ('cdrom', 'fdc'),
                            ('floppy', 'usb')):
            self.assertRaises(
                nova_exception.UnsupportedRescueBus, rescued,
                hw_rescue_device=device, hw_rescue_bus=bus)
