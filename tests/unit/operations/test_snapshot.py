# SPDX-License-Identifier: Apache-2.0

import uuid as uuid_module

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import device as device_spec
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
        self._hypervisor.complete_copies()


class Vanishing(fake_progress.RecordingProgress):
    """Lets QEMU's copy end early, as it does when there is no room."""

    def __init__(self, hypervisor: fake_libvirt.FakeHypervisor) -> None:
        super().__init__()
        self._hypervisor = hypervisor
        self.paths: list[str] = []

    def advance(self, done: int, total: int) -> None:
        for guest in self._hypervisor.guests:
            self.paths += [job.path for job in guest.jobs.values()]
        self._hypervisor.fail_copies()


class Stopping(fake_progress.RecordingProgress):
    """Lets the guest power itself off once the copy has begun."""

    def __init__(self, hypervisor: fake_libvirt.FakeHypervisor) -> None:
        super().__init__()
        self._hypervisor = hypervisor

    def advance(self, done: int, total: int) -> None:
        for guest in self._hypervisor.guests:
            if guest.jobs:
                guest.jobs.clear()
                guest.state = libvirt.VIR_DOMAIN_SHUTOFF
                self._hypervisor.emit(
                    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, guest,
                    libvirt.VIR_DOMAIN_EVENT_STOPPED,
                    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN)


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
            self._hypervisor.break_connections()


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

    def demanding(self, *, agent: bool) -> None:
        """Take a guest whose image demands frozen file systems."""
        self.spec = self.guest(
            'two', features=device_spec.FeatureSpec(require_quiesce=True),
            devices=device_spec.DeviceSpec(
                video=None, usb_controller=False, agent=True))
        self.driver.spawn(self.spec)
        self.files = self.remains()
        self.hypervisor.guests[-1].agent = agent

    def test_file_systems_that_have_to_be_frozen_are(self) -> None:
        self.demanding(agent=True)

        self.snapshot()

        self.assertEqual(1, self.hypervisor.calls['fsFreeze'])
        self.assertFalse(self.hypervisor.guests[-1].frozen)

    def test_without_an_agent_that_freezes_there_is_no_image(self) -> None:
        self.demanding(agent=False)
        progress = fake_progress.RecordingProgress()

        self.assertRaises(
            exception.AgentUnavailable, self.snapshot, progress)

        self.assertEqual(['check'], progress.steps)
        self.assertEqual(self.files, self.remains())

    def test_an_agent_that_fails_to_freeze_leaves_no_image(self) -> None:
        self.demanding(agent=True)
        self.hypervisor.fail_next('fsFreeze', fake_libvirt.libvirt_error(
            libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_FROM_QEMU,
            'mute'))

        self.assertRaises(exception.AgentUnavailable, self.snapshot)

        self.assertEqual({}, self.hypervisor.guests[-1].jobs)
        self.assertEqual(self.files, self.remains())
        self.assertEqual([self.image.id], self.images.ids)

    def test_a_stopped_guest_has_nothing_to_freeze(self) -> None:
        self.demanding(agent=False)
        self.driver.power_off(self.spec)

        self.assertEqual('kept', self.snapshot().name)

    def test_what_the_caller_says_wins_over_the_record(self) -> None:
        self.assertRaises(
            exception.AgentUnavailable, self.driver.snapshot, self.spec,
            str(uuid_module.uuid4()), require_quiesce=True)

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
        # Once for the event that was missed, and once at the end: whether
        # there still is a job.
        self.assertEqual(2, self.hypervisor.calls['blockJobInfo'])
        self.assertEqual(1, self.driver.connection_status().reconnects)
        self.assertEqual(self.files, self.remains())

    def test_the_copy_is_awaited_without_asking_for_it(self) -> None:
        self.snapshot()

        # Once when it is complete, and once at the end: whether there still
        # is a job.
        self.assertEqual(2, self.hypervisor.calls['blockJobInfo'])

    def test_a_guest_that_goes_down_ends_the_copy(self) -> None:
        # Its jobs end without an event.
        error = self.assertRaises(
            exception.WrongState, self.snapshot, Stopping(self.hypervisor))

        self.assertIn('shutdown', str(error))
        self.assertEqual(self.files, self.remains())

    def test_a_disk_without_a_recorded_format_is_refused(self) -> None:
        (self.folder(self.spec) / 'disk.info').write_text('{}')

        self.assertRaises(exception.StorageFailure, self.snapshot)
