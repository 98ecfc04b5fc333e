# SPDX-License-Identifier: Apache-2.0

"""A host that was made ready for a guest that does not come."""

from collections.abc import Callable
import os
import resource
import threading

import fixtures
import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import fake_guest
from nova_libvirt_driver.testing import fake_progress
from tests.unit.operations import whole

State = instance_spec.PowerState


class GivenUpTest(whole.WholeTestCase):

    def setUp(self) -> None:
        self.port = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'port')
        self.where: ports.Home | None = None
        super().setUp()
        self.spec = self.guest()

    def home(self, instance: instance_spec.Instance) -> ports.Home | None:
        return self.where

    def attachments_of(
            self, instance: instance_spec.Instance) -> ports.Attachments:
        return [fake_attachment.FakeAttachment(self.port)]

    def prepare(self, spec: guest_spec.GuestSpec) -> None:
        self.driver.pre_live_migration(
            spec, disks=None, attachments=self.attachments_of(spec))
        self.assertEqual(['prepared'], self.phases())

    def phases(self) -> list[str]:
        return [note.phase for note in self.journal.notes()]

    def verbs(self) -> dict[str, Callable[..., object]]:
        """Return the verbs by which a guest may come all the same."""
        return {
            'pre_live_migration': lambda **options: (
                self.driver.pre_live_migration(
                    self.spec, disks=None, **options)),
            'spawn': lambda **options: self.driver.spawn(
                self.spec, **options),
            'finish_migration': lambda **options: (
                self.driver.finish_migration(
                    self.spec, formats={}, **options))}

    def test_it_may_come_in_another_way(self) -> None:
        for verb in self.verbs():
            with self.subTest(verb=verb):
                self.spec = self.guest()
                if verb == 'finish_migration':
                    self.driver.spawn(self.spec, power_on=False)
                    self.hypervisor.remove_guest(self.hypervisor.guests[0])
                self.prepare(self.spec)

                self.verbs()[verb](
                    attachments=self.attachments_of(self.spec))

                self.assertTrue(os.path.exists(self.port))
                if verb == 'pre_live_migration':
                    self.assertEqual(['prepared'], self.phases())
                    self.driver.rollback_live_migration_at_destination(
                        self.spec,
                        attachments=self.attachments_of(self.spec))
                else:
                    self.assertIs(State.RUNNING, self.driver.get_info(
                        self.spec).state)
                    self.driver.destroy(
                        self.spec,
                        attachments=self.attachments_of(self.spec))
                self.assertEqual([], self.phases())

    def test_what_fails_then_leaves_nothing(self) -> None:
        for step in range(2, 20):
            self.prepare(self.spec)
            progress = fake_progress.FailingProgress(step)
            try:
                self.driver.spawn(
                    self.spec, progress=progress,
                    attachments=self.attachments_of(self.spec))
            except fake_progress.Stopped:
                self.assertEqual([], self.phases())
                self.assertEqual([], self.names())
                self.assertFalse(os.path.exists(self.port))
                continue
            break
        self.assertGreater(step, 5)

    def test_one_that_has_come_is_left_alone(self) -> None:
        self.driver.spawn(self.spec)
        xml = self.driver.get_domain_xml(self.spec)
        self.journal.begin(
            'receive', uuid=self.spec.uuid, name=self.spec.name, made=False,
            attachments=['port']).leave_open('prepared', 600.0)

        for verb, run in self.verbs().items():
            with self.subTest(verb=verb):
                error = self.assertRaises(exception.WrongState, run)

                self.assertIn('open for receive', str(error))
                self.assertEqual(xml, self.driver.get_domain_xml(self.spec))
                self.assertEqual(['prepared'], self.phases())

    def test_what_a_later_version_has_open_refuses_them(self) -> None:
        self.driver.spawn(self.spec, power_on=False)
        xml = self.driver.get_domain_xml(self.spec)
        self.journal.begin(
            'of a later version', uuid=self.spec.uuid, name=self.spec.name,
        ).leave_open('waits', 600.0)

        for verb, run in self.verbs().items():
            with self.subTest(verb=verb):
                error = self.assertRaises(exception.WrongState, run)

                self.assertIn('open for of a later version', str(error))
                self.assertEqual(xml, self.driver.get_domain_xml(self.spec))
                self.assertEqual(['waits'], self.phases())

    def come(self) -> fake_guest.Guest:
        """Have a guest that still comes, after the time that it had."""
        self.driver.spawn(self.spec)
        guest, = self.hypervisor.guests
        guest.state, guest.is_coming = libvirt.VIR_DOMAIN_PAUSED, True
        self.journal.begin(
            'receive', uuid=self.spec.uuid, name=self.spec.name, made=False,
            attachments=['port']).leave_open('prepared', 0.0)
        return guest

    def test_one_that_still_comes_has_its_time(self) -> None:
        guest = self.come()

        for phases in (['the guest comes'], []):
            self.driver.clean_up_operation(self.spec.uuid, '', force=False)

            self.assertEqual(phases, self.phases())
            self.assertTrue(all(
                note.is_open for note in self.journal.notes()))
            guest.state, guest.is_coming = libvirt.VIR_DOMAIN_RUNNING, False

    def test_nothing_is_done_to_one_that_still_comes(self) -> None:
        driver, spec = self.driver, self.spec
        self.come()
        xml = driver.get_domain_xml(spec)

        for number, verb in enumerate((
                lambda: driver.power_off(spec), lambda: driver.pause(spec),
                lambda: driver.resume(spec), lambda: driver.power_on(spec),
                lambda: driver.reboot(spec, guest_spec.RebootType.HARD),
                lambda: driver.rescue(spec, self.image.id),
                lambda: driver.snapshot(spec, 'later'),
                *self.verbs().values())):
            with self.subTest(number=number):
                for note in self.journal.notes():
                    # Out of time again, each time.
                    with self.journal.left(spec.uuid) as (entry,):
                        entry.leave_open(note.phase, 0.0)

                error = self.assertRaises(exception.WrongState, verb)

                self.assertIn('open for receive: the guest comes', str(error))
                self.assertIn('wait for its end', error.next_step)
                self.assertEqual(xml, driver.get_domain_xml(spec))

    def test_so_it_is_where_that_cannot_be_written(self) -> None:
        self.come()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            error = self.assertRaises(
                exception.WrongState, self.driver.pause, self.spec)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        self.assertIn('open for receive: prepared', str(error))

    def comes_in_post_copy(self, reason: int) -> None:
        self.driver.spawn(
            self.spec, attachments=self.attachments_of(self.spec))
        guest, = self.hypervisor.guests
        guest.reason, guest.is_coming = reason, True
        self.journal.begin(
            'receive', uuid=self.spec.uuid, name=self.spec.name, made=True,
            attachments=['port']).leave_open('prepared', 600.0)

    def test_one_whose_memory_is_lost_is_stopped(self) -> None:
        self.comes_in_post_copy(libvirt.VIR_DOMAIN_RUNNING_POSTCOPY_FAILED)
        log = self.useFixture(fixtures.FakeLogger())

        self.driver.post_live_migration_at_destination(self.spec)

        self.assertIn('The memory of the guest is lost', log.output)
        self.assertIs(State.SHUTDOWN, self.driver.get_info(
            self.spec, use_cache=False).state)
        self.assertEqual([], self.phases())
        self.assertTrue(os.path.exists(self.port))
        self.driver.power_on(self.spec)

    def test_one_that_libvirt_still_calls_broken_runs_on(self) -> None:
        """All of its memory has arrived, of which libvirt hears at last."""
        self.comes_in_post_copy(libvirt.VIR_DOMAIN_RUNNING_POSTCOPY_FAILED)
        guest, = self.hypervisor.guests

        def arrive() -> None:
            guest.reason = libvirt.VIR_DOMAIN_RUNNING_MIGRATED
            guest.is_coming = False

        timer = threading.Timer(2.0, arrive)
        timer.start()
        self.addCleanup(timer.join)

        self.driver.post_live_migration_at_destination(self.spec)

        self.assertIs(State.RUNNING, self.driver.get_info(
            self.spec, use_cache=False).state)
        self.assertEqual([], self.phases())

    def test_one_that_has_begun_to_run_is_not_rolled_back(self) -> None:
        for reason in (libvirt.VIR_DOMAIN_PAUSED_POSTCOPY,
                       libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED):
            with self.subTest(reason=reason):
                self.spec = self.guest()
                self.comes_in_post_copy(reason)
                guest, = self.hypervisor.guests
                guest.state = libvirt.VIR_DOMAIN_PAUSED

                self.assertRaises(
                    exception.WrongState,
                    self.driver.rollback_live_migration_at_destination,
                    self.spec, attachments=self.attachments_of(self.spec))

                self.assertIs(True, guest.active)
                self.assertEqual(['prepared'], self.phases())
                with self.journal.left(self.spec.uuid) as (entry,):
                    entry.end()
                self.hypervisor.remove_guest(guest)

    def test_one_that_was_deleted_meanwhile_goes(self) -> None:
        for reason in (libvirt.VIR_DOMAIN_RUNNING_POSTCOPY,
                       libvirt.VIR_DOMAIN_RUNNING_POSTCOPY_FAILED):
            with self.subTest(reason=reason):
                self.spec = self.guest()
                self.where = ports.Home.ELSEWHERE
                self.comes_in_post_copy(reason)
                self.driver.clean_up_operation(
                    self.spec.uuid, '', force=False)
                self.assertEqual([self.spec.name], self.names())

                self.where = ports.Home.DELETED
                self.driver.clean_up_operation(
                    self.spec.uuid, '', force=False)

                self.assertEqual([], self.names() + self.phases())
                self.assertFalse(os.path.exists(self.port))
                self.assertFalse(self.folder(self.spec).exists())

    def test_one_that_the_service_does_not_know_may_be_wanted(self) -> None:
        self.where = ports.Home.UNKNOWN
        self.comes_in_post_copy(libvirt.VIR_DOMAIN_RUNNING_POSTCOPY_FAILED)
        with self.journal.left(self.spec.uuid) as (entry,):
            entry.leave_open(entry.note.phase, 0.0)

        self.driver.clean_up_operation(self.spec.uuid, '', force=False)

        self.assertEqual([self.spec.name], self.names())
        note, = self.journal.notes()
        self.assertTrue(note.is_open)
        self.assertIn(f'virsh destroy {self.spec.uuid}', note.values['hint'])
        self.hypervisor.guests.clear()
        with self.journal.left(self.spec.uuid) as (entry,):
            entry.leave_open(note.phase, 0.0)
        self.driver.clean_up_operation(self.spec.uuid, '', force=False)
        self.assertEqual([], self.phases())
        self.assertFalse(self.folder(self.spec).exists())

    def test_a_guest_of_this_host_is_not_removed(self) -> None:
        self.driver.spawn(
            self.spec, attachments=self.attachments_of(self.spec))
        self.driver.power_off(self.spec)

        self.assertRaises(
            exception.WrongState,
            self.driver.rollback_live_migration_at_destination, self.spec,
            attachments=self.attachments_of(self.spec))

        self.assertEqual([self.spec.name], self.names())
        self.assertTrue(os.path.exists(self.port))

    def test_nor_does_what_runs_here_start_from_files(self) -> None:
        self.driver.spawn(self.spec)

        self.assertRaises(
            exception.WrongState, self.verbs()['finish_migration'])

        self.assertIs(
            State.RUNNING, self.driver.get_info(self.spec).state)
