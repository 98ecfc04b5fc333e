# SPDX-License-Identifier: Apache-2.0

"""Snapshots of volumes that the volume service has this host make."""

import os
from typing import Any

from nova import exception as nova_exception
from nova.objects import block_device as block_device_object

from nova_libvirt_driver.xmlmodel import domain as domain_model
from tests.nova import test_attached_volumes
from tests.nova import volumes_rig as rig

VOLUME = rig.VOLUME
SNAPSHOT = '5a1f4c33-0d38-4f8a-9d43-0a5f4f3b6f52'
NEW = {'type': 'qcow2', 'snapshot_id': SNAPSHOT, 'new_file': 'one'}


class VolumeSnapshotsTest(test_attached_volumes.VerbsTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.told: list[tuple[str, str]] = []
        self.left = 2
        self.file = os.path.join(self.folder(), 'base')
        with open(self.file, 'w'):
            pass
        self.volume = rig.connection('gpfs', device_path=self.file)
        self.attach(self.volume)
        self.attachment = {'connection_info': {
            'driver_volume_type': 'gpfs', 'volume_id': VOLUME,
            'device_path': self.file, 'name': 'one', 'format': 'qcow2'}}
        self.device = block_device_object.BlockDeviceMapping(
            self.context, id=1, volume_id=VOLUME, source_type='volume',
            destination_type='volume', boot_index=None,
            delete_on_termination=False,
            device_name='/dev/vdb', disk_bus='virtio', device_type='disk',
            guest_format=None, attachment_id=SNAPSHOT, tag=None,
            volume_size=1, volume_type=None, no_device=False,
            instance_uuid=self.instance.uuid, connection_info='{"a": 1}',
            encrypted=False)
        self.put('nova.objects.BlockDeviceMapping.get_by_volume_and_instance',
                 lambda *arguments: self.device)
        self.put('nova.objects.BlockDeviceMapping.save',
                 lambda *arguments: None)

    # The volume service.

    def update_snapshot_status(
            self, context: Any, snapshot_id: str, status: str) -> None:
        self.told.append((snapshot_id, status))

    def get_snapshot(self, context: Any, snapshot_id: str) -> dict[str, str]:
        self.left -= 1
        return {'status': 'creating' if self.left > 0 else 'available'}

    def attachment_get(self, context: Any, attachment_id: str) -> Any:
        return self.attachment

    def chain(self) -> list[str]:
        disk = domain_model.Domain.parse(self.xml()).devices.disks[1]
        return [os.path.basename(path) for path in (
            disk.source_file or '', *disk.backing_files())]

    def create(self, **fields: Any) -> None:
        self.driver.volume_snapshot_create(
            self.context, self.instance, VOLUME, {**NEW, **fields})

    def delete(self, **fields: Any) -> None:
        self.driver.volume_snapshot_delete(
            self.context, self.instance, VOLUME, SNAPSHOT,
            {'type': 'qcow2', 'merge_target_file': None,
             'file_to_merge': None, **fields})

    def delete_of_nothing(self) -> None:
        self.driver.volume_snapshot_delete(
            self.context, self.instance, VOLUME, SNAPSHOT,
            {'volume_id': VOLUME})

    def test_a_server_writes_to_the_file_of_the_volume_service(self) -> None:
        self.create()

        self.assertEqual(['one', 'base'], self.chain())
        self.assertEqual([(SNAPSHOT, 'creating')], self.told)
        self.assertEqual(0, self.left)
        # Nova knows it, for the next start.
        self.assertIn('"format": "qcow2"', self.device.connection_info)

    def test_files_are_merged(self) -> None:
        for name in ('one', 'two', 'three'):
            self.create(new_file=name)
        self.told.clear()

        self.delete(merge_target_file='one', file_to_merge='two')
        self.assertEqual(['three', 'one', 'base'], self.chain())
        self.delete(file_to_merge='base')
        self.assertEqual(['three', 'base'], self.chain())
        self.delete()

        self.assertEqual(['three'], self.chain())
        self.assertEqual([(SNAPSHOT, 'deleting')] * 3, self.told)

    def test_the_volume_service_is_told_of_a_failure(self) -> None:
        for status, verb, fields in (
                ('error', self.create, {'new_file': '../x'}),
                ('error', self.create, {'type': 'raw'}),
                ('error_deleting', self.delete, {'file_to_merge': 'none'}),
                ('error_deleting', self.delete, {'type': 'raw'}),
                ('error_deleting', self.delete_of_nothing, {})):
            with self.subTest(status=status, fields=fields):
                self.told.clear()

                with self.assertRaises(nova_exception.NovaException):
                    verb(**fields)

                self.assertEqual([(SNAPSHOT, status)], self.told)
                self.assertEqual(['base'], self.chain())

    def test_a_server_that_is_gone(self) -> None:
        self.driver.destroy(
            self.context, self.instance, None, self.block_devices())

        for verb in (self.create, self.delete):
            with self.assertRaises(nova_exception.InstanceNotRunning):
                verb()

    def test_a_snapshot_without_an_id(self) -> None:
        with self.assertRaises(nova_exception.InternalError):
            self.create(snapshot_id=None)
        self.assertEqual(['base'], self.chain())
