# SPDX-License-Identifier: Apache-2.0

"""Images, the service record and notifications, as Nova keeps them."""

import io
from typing import Any
import unittest
from unittest import mock

from nova import exception as nova_exception
from nova import objects
import oslo_messaging

from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import images
from nova_libvirt_driver.nova_plugin import service
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.testing import fake_progress

objects.register_all()

IMAGE_ID = '5f0c1f0e-6d1f-4a39-9f0c-0f3d5a9d7b11'
NODE_ID = '0cecc618-a007-4bb6-91f7-462293fe2ac2'


class FakeGlance:
    """Has one image; stands for nova.image.glance.API."""

    def __init__(self) -> None:
        self.content = b'bytes'
        self.trusted_certs: Any = None
        self.updates: list[dict[str, Any]] = []

    def get(self, context: Any, image_id: str) -> dict[str, Any]:
        if image_id != IMAGE_ID:
            raise nova_exception.ImageNotFound(image_id=image_id)
        return {'id': IMAGE_ID, 'name': 'debian', 'disk_format': 'qcow2',
                'container_format': 'bare', 'size': len(self.content),
                'min_disk': 2, 'min_ram': 0,
                'properties': {'hw_disk_bus': 'scsi'}}

    def download(self, context: Any, image_id: str, data: Any,
                 trusted_certs: Any) -> None:
        self.trusted_certs = trusted_certs
        data.write(self.content[:2])
        data.write(self.content[2:])

    def update(self, context: Any, image_id: str, fields: dict[str, Any],
               data: Any, purge_props: bool) -> None:
        self.updates.append({**fields, 'data': b''.join(data)})


class ImagesTest(unittest.TestCase):

    def setUp(self) -> None:
        self.glance = FakeGlance()
        patch = mock.patch('nova.image.glance.API', autospec=True,
                           return_value=self.glance)
        patch.start()
        self.addCleanup(patch.stop)
        self.images = images.GlanceImages('context', ['cert'])
        self.progress = fake_progress.RecordingProgress()

    def test_an_image_is_described(self) -> None:
        self.assertEqual(image_spec.Image(
            id=IMAGE_ID, disk_format='qcow2', name='debian',
            min_disk_gib=2, properties={'hw_disk_bus': 'scsi'}),
            self.images.show(IMAGE_ID))

    def test_bytes_come_with_progress_and_certificates(self) -> None:
        file = io.BytesIO()

        self.images.download(IMAGE_ID, file, self.progress)

        self.assertEqual(b'bytes', file.getvalue())
        self.assertEqual([(2, 5), (5, 5)], self.progress.advances)
        self.assertEqual(['cert'], self.glance.trusted_certs)

    def test_an_image_that_is_not_there(self) -> None:
        for ask in (self.images.show, lambda image_id: self.images.download(
                image_id, io.BytesIO(), self.progress)):
            self.assertRaises(exception.ImageNotFound, ask, NODE_ID)

    def test_a_snapshot_keeps_what_the_image_has(self) -> None:
        described = image_spec.Image(
            id=IMAGE_ID, disk_format='raw', size_bytes=3,
            properties={'image_type': 'snapshot', 'hw_disk_bus': 'virtio'})

        self.images.upload(described, io.BytesIO(b'new'), self.progress)

        update, = self.glance.updates
        self.assertEqual(b'new', update['data'])
        self.assertEqual(('active', 'raw', 'debian', 'bare'), (
            update['status'], update['disk_format'], update['name'],
            update['container_format']))
        self.assertEqual(
            {'hw_disk_bus': 'scsi', 'image_type': 'snapshot'},
            update['properties'])

    def test_bytes_that_do_not_come_are_a_failure_of_storage(self) -> None:
        for error, ours in (
                (OSError('no room'), exception.StorageFailure),
                (nova_exception.NovaException(), exception.StorageFailure),
                (BrokenPipeError('hash'), exception.ImageRefused)):
            with self.subTest(error=error), mock.patch.object(
                    self.glance, 'download', autospec=True,
                    side_effect=error):
                self.assertRaises(
                    ours, self.images.download,
                    IMAGE_ID, io.BytesIO(), self.progress)


class FakeVirtAPI:
    """Keeps what placement would be told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []
        self.failures = 0

    def update_compute_provider_status(
            self, context: Any, uuid: str, *, enabled: bool) -> None:
        if self.failures:
            self.failures -= 1
            raise nova_exception.PlacementAPIConnectFailure
        self.told.append((uuid, enabled))


class ServiceStateTest(unittest.TestCase):

    def setUp(self) -> None:
        self.virtapi = FakeVirtAPI()
        self.saves = 0
        self.state = service.NovaServiceState(self.virtapi)
        # Ends each save, if there is one: no answer comes.
        self.save_error: Exception | None = None

    def change(self, *, enabled: bool, disabled: bool,
               reason: str | None) -> tuple[bool, str | None]:
        """Change a record; return how it is afterwards."""
        record = objects.Service(
            host='here', disabled=disabled, disabled_reason=reason,
            compute_node=objects.ComputeNode(uuid=NODE_ID))

        return self.changed(record, enabled=enabled)

    def changed(
            self, record: Any, *,
            enabled: bool) -> tuple[bool, str | None]:
        def save(record: Any) -> None:
            self.saves += 1
            if self.save_error is not None:
                raise self.save_error

        with mock.patch.multiple(
                objects.Service, save=save, get_by_compute_host=(
                    lambda context, host: record)):
            self.state.set_host_enabled(
                'here', enabled=enabled, reason='libvirt is gone')
        return record.disabled, record.disabled_reason

    def test_disabling_says_why_and_tells_placement(self) -> None:
        self.assertEqual(
            (True, 'AUTO: libvirt is gone'),
            self.change(enabled=False, disabled=False, reason=None))
        self.assertEqual([(NODE_ID, False)], self.virtapi.told)

    def test_enabling_undoes_what_was_done(self) -> None:
        self.assertEqual((False, None), self.change(
            enabled=True, disabled=True, reason='AUTO: libvirt is gone'))
        self.assertEqual([(NODE_ID, True)], self.virtapi.told)

    def record(self) -> Any:
        return objects.Service(
            host='here', disabled=False, disabled_reason=None,
            compute_node=objects.ComputeNode(uuid=NODE_ID))

    def test_placement_that_did_not_hear_is_told_again(self) -> None:
        record, self.virtapi.failures = self.record(), 2
        for _ in range(2):
            self.assertRaises(
                nova_exception.PlacementAPIConnectFailure,
                self.changed, record, enabled=False)

        for _ in range(2):
            self.changed(record, enabled=False)

        self.assertEqual([(NODE_ID, False)], self.virtapi.told)
        self.assertEqual(1, self.saves)

    def test_so_it_is_when_nobody_said_that_the_record_is_saved(
            self) -> None:
        record = self.record()
        self.save_error = oslo_messaging.MessagingTimeout()
        self.assertRaises(
            oslo_messaging.MessagingTimeout, self.changed, record,
            enabled=False)

        self.changed(record, enabled=False)

        self.assertEqual([(NODE_ID, False)], self.virtapi.told)

    def test_it_is_told_what_the_record_says_by_then(self) -> None:
        record, self.virtapi.failures = self.record(), 1
        self.assertRaises(
            nova_exception.PlacementAPIConnectFailure,
            self.changed, record, enabled=False)
        record.disabled_reason = 'repair'

        self.changed(record, enabled=True)

        self.assertEqual([(NODE_ID, False)], self.virtapi.told)

    def test_what_an_operator_disabled_stays(self) -> None:
        for enabled in (True, False):
            self.assertEqual((True, 'repair'), self.change(
                enabled=enabled, disabled=True, reason='repair'))
        self.assertEqual((0, []), (self.saves, self.virtapi.told))

    def test_what_is_right_already_is_not_saved(self) -> None:
        self.change(enabled=True, disabled=False, reason=None)
        self.change(enabled=False, disabled=True, reason='AUTO: earlier')

        self.assertEqual(0, self.saves)

    def test_a_host_without_a_record_yet_is_no_error(self) -> None:
        self.change_without_an_answer(
            nova_exception.ComputeHostNotFound(host='h'))

    def test_a_cloud_that_does_not_answer_is_asked_again(self) -> None:
        self.assertRaises(
            oslo_messaging.MessagingTimeout, self.change_without_an_answer,
            oslo_messaging.MessagingTimeout())

    def change_without_an_answer(self, error: Exception) -> None:
        with mock.patch.object(
                objects.Service, 'get_by_compute_host', autospec=True,
                side_effect=error):
            service.NovaServiceState(self.virtapi).set_host_enabled(
                'here', enabled=True, reason='')
