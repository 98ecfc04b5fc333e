# SPDX-License-Identifier: Apache-2.0

"""Guests that move from one volume to another, and those that do not."""

import os
from typing import Any

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.operations.steps import unplug
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_progress
from tests.unit.operations import test_snapshot
from tests.unit.operations import test_volumes

FIRST, SECOND = test_volumes.FIRST, test_volumes.SECOND
KEY = disk_spec.DiskKey(id=FIRST, serial=FIRST)


class SwapTest(test_volumes.VolumesTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.spawn()
        self.new = {**test_volumes.info(SECOND), 'serial': FIRST}

    def one(self, info: dict[str, Any]) -> Any:
        """Return the attachment of one volume by itself."""
        attachment: Any = self.attachment(test_volumes.volume(info, ''))
        attachment.name = f'volume {info["data"]["volume_id"]}'
        attachment.memo = {'info': info}
        return attachment

    def attachment_of(
            self, instance: instance_spec.Instance, name: str,
            memo: ports.Memo | None) -> ports.Attachment | None:
        return None if memo is None else self.one(memo['info'])

    def swap(
            self, progress: ports.Progress = ports.NullProgress(),
            key: disk_spec.DiskKey = KEY) -> None:
        self.driver.swap_disk(
            self.spec, key, disk_spec.DiskSpec(
                target_dev='', id=SECOND, serial=FIRST, format='raw',
                bus=disk_spec.DiskBus.VIRTIO,
                source=disk_spec.DiskSource()),
            old=self.one(test_volumes.info()), new=self.one(self.new),
            size_bytes=7, progress=test_snapshot.Copying(
                self.hypervisor, progress))

    def assert_has(self, volume_id: str) -> None:
        self.assertEqual([volume_id], self.connector.connected())
        self.assertEqual(
            (os.path.join(self.devices, volume_id), FIRST), self.disks()[-1])
        guest, = self.hypervisor.guests
        self.assertEqual({}, guest.jobs)
        self.assertEqual([], self.journal.notes())

    def test_a_guest_has_the_other_one_then(self) -> None:
        self.swap()

        self.assert_has(SECOND)
        guest, = self.hypervisor.guests
        self.assertEqual(7, guest.sizes['vdb'])
        self.assertIsNotNone(self.driver.get_spec(self.spec).device(
            disk_spec.DiskKey(id=SECOND)))

    def test_a_failure_at_any_step_leaves_the_first_one(self) -> None:
        for number in range(1, 20):
            progress = fake_progress.FailingProgress(number)
            try:
                self.swap(progress)
            except fake_progress.Stopped:
                self.assert_has(FIRST)
            else:
                break
        self.assertFalse(progress.raised)
        self.assertGreater(number, 4)

    def test_a_copy_or_a_pivot_that_fails_leaves_the_first_one(self) -> None:
        for method in ('blockCopy', 'blockJobAbort'):
            self.hypervisor.fail_next(method, fake_fault.libvirt_error(
                libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_QEMU, 'no'))

            with self.subTest(method=method):
                self.assertRaises(exception.LibvirtFailure, self.swap)

                self.assert_has(FIRST)

    def test_what_fails_afterwards_is_no_error(self) -> None:
        # Who hears of one takes away the volume that the guest has.
        self.hypervisor.fail_next('blockResize', fake_fault.libvirt_error(
            libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_QEMU, 'no'))

        self.swap()

        self.assert_has(SECOND)

    def test_a_guest_that_has_no_such_disk_or_does_not_run(self) -> None:
        self.assertRaises(exception.WrongState, self.swap,
                          key=disk_spec.DiskKey(id=SECOND))
        self.driver.power_off(self.spec)
        self.assertRaises(exception.WrongState, self.swap)

        self.assert_has(FIRST)

    def test_an_encrypted_one_is_refused(self) -> None:
        self.new['data']['encrypted'] = True

        self.assertRaises(exception.UnsupportedOperation, self.swap)

        self.assert_has(FIRST)
        self.assertEqual([], self.hypervisor.secrets)

    def test_nor_is_what_was_encrypted_copied_in_clear(self) -> None:
        told = test_volumes.info(encrypted=True)
        self.destroy()
        self.spawn(test_volumes.volume(told))

        self.assertRaises(exception.UnsupportedOperation, self.swap)

        self.assert_has(FIRST)
        self.assertEqual(1, len(self.hypervisor.secrets))

    def test_the_next_process_asks_which_one_it_is(self) -> None:
        first, second = test_volumes.info(), self.new
        for source, old, new in (
                (os.path.join(self.devices, FIRST), first, second),
                ('/dev/former', second, first)):
            with self.subTest(source=source):
                self.connector.connect(second)
                self.journal.begin(
                    'swap', uuid=self.spec.uuid, name=self.spec.name,
                    source=source, **unplug.noted(KEY, (
                        self.one(old), self.one(new)))).release()

                self.driver.pause(self.spec)
                self.driver.unpause(self.spec)

                self.assert_has(FIRST)
