# SPDX-License-Identifier: Apache-2.0

"""Volumes that a guest gets, loses or sees growing while it is there."""

import dataclasses
import os
import pathlib
from typing import Any
from unittest import mock

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_devices
from nova_libvirt_driver.testing import fake_progress
from nova_libvirt_driver.testing import fake_volumes
from tests.unit.operations import test_volumes

FIRST, SECOND = test_volumes.FIRST, test_volumes.SECOND
KEY = disk_spec.DiskKey(id=FIRST, serial=FIRST)
GROWN = 1 << 21


class AttachedTestCase(test_volumes.VolumesTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.config.config(
            group='libvirt', device_detach_attempts=1,
            device_detach_timeout=1)
        self.driver = self.make_driver()
        self.spec = self.guest(devices=device_spec.DeviceSpec(
            video=None, usb_model='qemu-xhci'))
        self.driver.spawn(self.spec)

    def one(self, **data: Any) -> Any:
        """Return the attachment of one volume by itself."""
        attachment: Any = self.attachment(test_volumes.volume(
            test_volumes.info(**data), ''), force=False)
        attachment.name = f'volume {FIRST}'
        return attachment

    def attachment_of(
            self, instance: instance_spec.Instance, name: str,
            memo: ports.Memo | None) -> ports.Attachment | None:
        return self.one() if name == f'volume {FIRST}' else None

    def attach(
            self, progress: ports.Progress = ports.NullProgress(),
            **data: Any) -> disk_spec.DiskSpec:
        return self.driver.attach_disk(
            self.spec, disk_of(FIRST), attachments=[self.one(**data)],
            progress=progress)

    def detach(self, **data: Any) -> None:
        self.driver.detach_disk(
            self.spec, KEY, attachments=[self.one(**data)])

    def extend(self, size_bytes: int = GROWN, **data: Any) -> None:
        self.driver.extend_disk(
            self.spec, KEY, size_bytes, volume=self.one(
                device_path=os.path.join(self.devices, FIRST), **data))

    def grow(self, size_bytes: int = GROWN) -> None:
        os.truncate(os.path.join(self.devices, FIRST), size_bytes)

    def seen(self) -> int:
        """Return how large the guest sees it."""
        guest, = self.hypervisor.guests
        return guest.sizes['vdb']

    def records(self) -> list[str]:
        return [path.read_text() for path in pathlib.Path(
            self.instances_path).glob('.volumes/*/*.json')]

    def assert_as_before(self) -> None:
        self.assertEqual([], self.connector.connected())
        self.assertEqual([(None, None)], self.disks())
        self.assertEqual([], self.records())
        self.assertEqual([], self.hypervisor.secrets)
        self.assertEqual([], self.journal.notes())


class AttachTest(AttachedTestCase):

    def test_it_is_named_and_there(self) -> None:
        found = self.attach(encrypted=True)

        path = os.path.join(self.devices, FIRST)
        self.assertEqual(('vdb', path), (found.target_dev, found.source.path))
        self.assertEqual((path, FIRST), self.disks()[-1])
        self.detach(encrypted=True)
        self.assert_as_before()
        # The guest's data are wanted.
        self.assertEqual([False], self.connector.forced)

    def test_how_often_it_waits_for_the_disk(self) -> None:
        # The journal three times, and for each record its file and its name:
        # that of the volume before and after the host is connected.
        for verb, times in ((self.attach, 3 + 2 * 3), (self.detach, 3 + 5)):
            with mock.patch.object(os, 'fsync', wraps=os.fsync) as fsync:
                verb()

            self.assertEqual(times, fsync.call_count)

    def test_each_step_is_undone(self) -> None:
        for number in range(1, 30):
            progress = fake_progress.FailingProgress(number)
            try:
                self.attach(progress, encrypted=True)
            except fake_progress.Stopped:
                self.assert_as_before()
            else:
                break
        self.assertFalse(progress.raised)
        self.assertGreater(number, 4)

    def test_each_point_of_a_connector_is_undone(self) -> None:
        for point in fake_volumes.POINTS:
            def fail(reached: str, point: str = point) -> None:
                if reached == point:
                    raise RuntimeError(point)

            self.connector.at = fail
            with self.subTest(point=point):
                self.assertRaises(RuntimeError, self.attach, encrypted=True)
                self.connector.at = fake_nothing
                self.assert_as_before()

    def test_what_does_not_let_go_after_a_failure_is_tried_again(
            self) -> None:
        self.connector.refused.add(FIRST)
        progress = fake_progress.FailingProgress(4)
        self.assertRaises(fake_progress.Stopped, self.attach, progress)
        self.assertEqual(1, len(self.entries()))

        self.connector.refused.clear()
        self.driver.power_off(self.spec)

        self.assert_as_before()

    def test_one_that_came_back_meanwhile_stays(self) -> None:
        self.connector.refused.add(FIRST)
        self.assertRaises(fake_progress.Stopped, self.attach,
                          fake_progress.FailingProgress(4))
        self.attach()
        self.connector.refused.clear()

        self.driver.pause(self.spec)

        self.assertEqual(([], [FIRST]), (
            self.entries(), self.connector.connected()))


class DetachTest(AttachedTestCase):

    def test_the_host_that_does_not_let_go_is_an_error(self) -> None:
        self.attach()
        self.connector.refused.add(FIRST)

        self.assertRaises(exception.VolumeFailure, self.detach)

        self.assertEqual([(None, None)], self.disks())
        self.assertEqual([FIRST], self.connector.connected())
        # What is done meanwhile need not wait for it.
        self.driver.pause(self.spec)
        self.assertEqual([FIRST], self.connector.connected())
        self.connector.refused.clear()
        self.detach()
        self.assert_as_before()

    def test_what_a_guest_keeps_stays_connected(self) -> None:
        self.attach()
        guest, = self.hypervisor.guests
        guest.hotplug.unplug = fake_devices.Unplug.IGNORE

        self.assertRaises(exception.DeviceDetachFailed, self.detach)

        self.assertEqual([FIRST], self.connector.connected())

    def test_one_that_the_guest_does_not_have_is_disconnected(self) -> None:
        self.connector.connect(test_volumes.info())

        self.detach()

        self.assert_as_before()

    def test_one_of_an_unknown_protocol_leaves_its_guest(self) -> None:
        # Another driver has attached it.
        self.driver.attach_disk(self.spec, dataclasses.replace(
            disk_of(FIRST), target_dev='vdb',
            source=disk_spec.DiskSource(
                kind=disk_spec.SourceKind.BLOCK, path='/dev/sdx')))

        self.driver.detach_disk(self.spec, KEY, attachments=[self.attachment(
            test_volumes.volume(test_volumes.info(protocol='none-such')),
            force=False)])

        self.assert_as_before()

    def test_the_rest_of_a_guest_that_is_gone(self) -> None:
        self.attach()
        self.driver.destroy(self.spec)
        self.assertEqual([FIRST], self.connector.connected())

        self.detach()

        self.assertEqual([], self.connector.connected())

    def test_a_stopped_guest_loses_it_at_once(self) -> None:
        self.attach()
        self.driver.power_off(self.spec)

        self.detach()

        self.assert_as_before()

    def test_another_guest_keeps_the_volume(self) -> None:
        other = self.guest('two')
        told = {**test_volumes.info(), 'multiattach': True}
        shared = test_volumes.volume(told)
        self.spawn(shared, spec=other)
        attachment = self.attachment(shared, force=False)
        self.driver.attach_disk(
            self.spec, dataclasses.replace(
                disk_of(FIRST), target_dev='vdb'), attachments=[attachment])

        self.driver.detach_disk(self.spec, KEY, attachments=[attachment])

        self.assertEqual([FIRST], self.connector.connected())
        self.assertEqual([], self.connector.forced)


class ExtendTest(AttachedTestCase):

    def test_the_guest_sees_what_the_host_sees(self) -> None:
        self.attach()
        guest, = self.hypervisor.guests
        guest.sizes['vdb'] = 1 << 20
        self.grow()

        self.extend()
        self.extend()

        self.assertEqual(GROWN, self.seen())
        self.assertIn(f'"size_bytes": {GROWN}', self.records()[0])

    def test_without_the_header_of_an_encrypted_one(self) -> None:
        self.attach(encrypted=True)
        guest, = self.hypervisor.guests
        guest.sizes['vdb'] = 1 << 20
        self.grow()

        self.extend(encrypted=True)

        self.assertEqual(GROWN - fake_volumes.HEADER_BYTES, self.seen())

    def test_a_path_that_has_not_grown_leaves_the_guest_as_it_is(
            self) -> None:
        self.attach()
        guest, = self.hypervisor.guests
        guest.sizes['vdb'] = 1 << 20

        error = self.assertRaises(exception.VolumeFailure, self.extend)

        self.assertIn(str(GROWN), str(error))
        self.assertEqual(1 << 20, self.seen())

    def test_a_stopped_guest_sees_it_at_its_start(self) -> None:
        self.attach()
        self.driver.power_off(self.spec)
        self.grow()

        self.extend()

        self.assertIn(f'"size_bytes": {GROWN}', self.records()[0])

    def test_the_volume_of_another_guest_is_left_alone(self) -> None:
        self.assertRaises(exception.InvalidRequest, self.extend)


def disk_of(volume_id: str) -> disk_spec.DiskSpec:
    return disk_spec.DiskSpec(
        target_dev='', id=volume_id, serial=volume_id, format='raw',
        bus=disk_spec.DiskBus.VIRTIO, source=disk_spec.DiskSource())


def fake_nothing(point: str) -> None:
    """Do nothing."""
