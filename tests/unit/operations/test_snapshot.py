# SPDX-License-Identifier: Apache-2.0

import uuid as uuid_module

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.testing import fake_images
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_progress
from tests.unit.operations import whole

SIZE_BYTES = 1 << 20


class Copying:
    """Lets QEMU's copy be complete as soon as somebody waits for it."""

    def __init__(
            self, hypervisor: fake_libvirt.FakeHypervisor,
            progress: ports.Progress) -> None:
        self._hypervisor = hypervisor
        self._progress = progress

    def step(self, name: str) -> None:
        self._progress.step(name)

    def advance(self, done: int, total: int) -> None:
        self._progress.advance(done, total)
        for guest in self._hypervisor.guests:
            for job in guest.jobs.values():
                job.ready = True


class Vanishing(fake_progress.RecordingProgress):
    """Lets QEMU's copy end early, as it does when there is no room."""

    def __init__(self, hypervisor: fake_libvirt.FakeHypervisor) -> None:
        super().__init__()
        self._hypervisor = hypervisor
        self.paths: list[str] = []

    def advance(self, done: int, total: int) -> None:
        for guest in self._hypervisor.guests:
            self.paths += [job.path for job in guest.jobs.values()]
            guest.jobs.clear()


class Interrupted(fake_progress.RecordingProgress):
    """Loses the connection once the copy has begun."""

    def __init__(
            self, hypervisor: fake_libvirt.FakeHypervisor) -> None:
        super().__init__()
        self._hypervisor = hypervisor
        self._is_lost = False

    def advance(self, done: int, total: int) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._hypervisor.fail_next(
                'blockJobInfo', fake_libvirt.libvirt_error(
                    libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC,
                    'client socket is closed'))


class SnapshotTest(whole.WholeTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.spec = self.guest()
        self.driver.spawn(self.spec)
        self.files = self.remains()

    def snapshot(
            self, progress: fake_progress.RecordingProgress | None = None,
    ) -> image_spec.Image:
        image_id = str(uuid_module.uuid4())
        self.driver.snapshot(
            self.spec, image_id, name='kept',
            progress=Copying(
                self.hypervisor,
                progress or fake_progress.RecordingProgress()))
        return self.images.show(image_id)

    def test_an_image_of_the_running_guest(self) -> None:
        progress = fake_progress.RecordingProgress()

        image = self.snapshot(progress)

        self.assertEqual(('kept', 'qcow2', 1), (
            image.name, image.disk_format, image.min_disk_gib))
        self.assertEqual(
            ['check', 'folder', 'copy', 'end the copy', 'upload'],
            progress.steps)
        self.assertEqual(self.files, self.remains())

    def test_an_image_of_the_stopped_guest(self) -> None:
        self.driver.power_off(self.spec)

        image = self.snapshot()

        self.assertEqual(
            b'QFI\xfb', (self.images.content(image.id) or b'')[:4])
        self.assertEqual(self.files, self.remains())

    def test_other_formats_are_converted_to(self) -> None:
        self.config.config(group='libvirt', snapshot_image_format='raw')
        self.driver = self.make_driver()
        self.driver.power_off(self.spec)

        image = self.snapshot()

        self.assertEqual('raw', image.disk_format)
        self.assertEqual(b'\0' * SIZE_BYTES, self.images.content(image.id))

    def test_each_step_that_fails_leaves_nothing(self) -> None:
        for running in (True, False):
            if not running:
                self.driver.power_off(self.spec)
            number, failed = 1, True
            while failed:
                progress = fake_progress.FailingProgress(number)
                images = self.images.ids
                try:
                    self.snapshot(progress)
                except fake_progress.Stopped:
                    self.assertEqual(images, self.images.ids)
                    self.assertEqual(self.files, self.remains())
                    guest, = self.hypervisor.guests
                    self.assertEqual({}, guest.jobs)
                    self.assertIs(running, guest.active)
                failed = progress.raised
                number += 1
            self.assertGreater(number, 4)

    def test_a_failing_upload_leaves_nothing(self) -> None:
        self.images.faults = fake_images.Faults(upload_fails_at=1)

        self.assertRaises(exception.StorageFailure, self.snapshot)

        self.assertEqual(self.files, self.remains())

    def test_a_copy_that_ends_early_is_named_in_the_error(self) -> None:
        progress = Vanishing(self.hypervisor)

        error = self.assertRaises(
            exception.StorageFailure, self.driver.snapshot, self.spec,
            str(uuid_module.uuid4()), progress=progress)

        self.assertEqual([error.fields['path']], progress.paths)
        self.assertNotIn(str(self.folder(self.spec)), str(error))
        self.assertEqual(self.files, self.remains())

    def test_a_connection_lost_while_it_is_copied_is_no_matter(self) -> None:
        progress = Interrupted(self.hypervisor)

        image = self.snapshot(progress)

        self.assertIn(image.id, self.images.ids)
        self.assertEqual(1, self.driver.connection_status().reconnects)
        self.assertEqual(self.files, self.remains())

    def test_a_disk_without_a_recorded_format_is_refused(self) -> None:
        (self.folder(self.spec) / 'disk.info').write_text('{}')

        self.assertRaises(exception.StorageFailure, self.snapshot)
