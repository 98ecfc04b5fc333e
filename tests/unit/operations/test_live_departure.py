# SPDX-License-Identifier: Apache-2.0

"""A guest that has moved, and that its service has here all the same."""

from collections.abc import Callable
from concurrent import futures
import contextlib
import dataclasses
import itertools
import os
import shutil
import time

import fixtures
import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_volumes
from tests import owners
from tests.unit.operations import test_volumes
from tests.unit.operations import whole

URI = 'qemu+tcp://two/system'


class GoneTest(whole.WholeTestCase):

    def setUp(self) -> None:
        folder = self.useFixture(fixtures.TempDir()).path
        self.port = os.path.join(folder, 'port')
        self.connector = fake_volumes.FakeConnector(folder)
        self.where: ports.Home | None = ports.Home.HERE
        super().setUp()
        self.files = os.path.join(folder, 'files')
        self.other = fake_libvirt.FakeHypervisor()
        self.hypervisor.others[URI] = self.other
        self.spec = self.guest()

    def home(self, instance: instance_spec.Instance) -> ports.Home | None:
        return self.where

    def attachments_of(
            self, instance: instance_spec.Instance) -> ports.Attachments:
        return [fake_attachment.FakeAttachment(self.port)]

    def phases(self) -> list[str]:
        return [note.phase for note in self.journal.notes()]

    def go(self, *, is_shared: bool = True) -> None:
        """Let the guest be on the other host, and all that Nova does fail."""
        self.driver.spawn(
            self.spec, attachments=self.attachments_of(self.spec))
        shutil.copytree(self.folder(self.spec), self.files)
        guest, = self.hypervisor.guests
        self.hypervisor.remove_guest(guest)
        self.other.guests = [guest]
        self.leave('moved', 0.0, is_shared=is_shared)

    def leave(
            self, phase: str, timeout_s: float, *, is_shared: bool = True,
            journal: journal_module.Journal | None = None) -> None:
        (journal or self.journal).begin(
            'live-migrate', uuid=self.spec.uuid, name=self.spec.name, uri=URI,
            is_shared=is_shared, was_paused=False, attachments=['port'],
        ).leave_open(phase, timeout_s)

    def files_come(self) -> None:
        """Let another host copy the files back."""
        shutil.copytree(
            self.files, self.folder(self.spec), dirs_exist_ok=True)
        shutil.rmtree(self.files)

    def come_back(self) -> None:
        """Let the operator bring the guest back with virsh."""
        shutil.rmtree(self.files)
        self.hypervisor.guests = self.other.guests
        self.other.guests = []

    def verbs(self) -> list[Callable[[], object]]:
        """Return all that would start or define the guest."""
        driver, spec = self.driver, self.spec
        return [
            lambda: driver.power_on(spec), lambda: driver.resume(spec),
            lambda: driver.reboot(spec, guest_spec.RebootType.HARD),
            lambda: driver.reboot(spec, guest_spec.RebootType.SOFT),
            lambda: driver.resume_state_on_host_boot(spec),
            lambda: driver.rescue(spec, self.image.id),
            lambda: driver.unrescue(spec), lambda: driver.spawn(spec),
            lambda: driver.finish_migration(spec),
            lambda: driver.finish_revert_migration(spec),
            lambda: driver.pre_live_migration(spec, disks=None)]

    def assert_refused(self) -> None:
        for number, verb in enumerate(self.verbs()):
            with self.subTest(number=number):
                error = self.assertRaises(exception.WrongState, verb)

                self.assertIn(URI, str(error))
                self.assertEqual([], self.names())

    def test_what_libvirt_refused_to_abort_was_not_cancelled(self) -> None:
        self.driver.spawn(self.spec)
        with (futures.ThreadPoolExecutor(1) as pool,
              self.hypervisor.block('migrateToURI3') as hang):
            moved = pool.submit(
                self.driver.live_migration, self.spec,
                migration_spec.Destination(uri=URI, is_shared=True))
            self.assertTrue(hang.wait_entered())
            self.assertRaises(
                exception.LibvirtFailure, self.driver.live_migration_abort,
                self.spec)

        error = self.assertRaises(exception.MigrationFailed, moved.result)
        self.assertNotIsInstance(error, exception.MigrationCancelled)

    def test_the_last_pass_is_not_aborted(self) -> None:
        self.driver.spawn(self.spec)
        guest, = self.hypervisor.guests
        with (futures.ThreadPoolExecutor(2) as pool,
              self.hypervisor.block('migrateToURI3') as hang):
            pool.submit(
                self.driver.live_migration, self.spec,
                migration_spec.Destination(uri=URI, is_shared=True))
            self.assertTrue(hang.wait_entered())
            guest.state = libvirt.VIR_DOMAIN_PAUSED
            guest.reason = libvirt.VIR_DOMAIN_PAUSED_MIGRATION
            looks = self.hypervisor.calls['state'] + 3
            aborted = pool.submit(self.driver.live_migration_abort, self.spec)
            fake_ports.wait_until(
                lambda: self.hypervisor.calls['state'] > looks,
                'the abort to look at the guest')
            self.assertNotIn('abortJob', self.hypervisor.calls)

            guest.state = libvirt.VIR_DOMAIN_RUNNING
            # Here it has no job; there is nothing to be aborted.
            self.assertRaises(exception.LibvirtFailure, aborted.result)
        self.assertEqual(1, self.hypervisor.calls['abortJob'])

    def test_the_end_of_the_link_between_the_hosts_is_no_outage(self) -> None:
        self.driver.spawn(self.spec)
        self.hypervisor.fail_next('migrateToURI3', fake_fault.libvirt_error(
            libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC,
            'internal error: client socket is closed'))

        error = self.assertRaises(
            exception.MigrationFailed, self.driver.live_migration, self.spec,
            migration_spec.Destination(uri=URI, is_shared=True))

        self.assertIn(f'host {URI} cannot be used', str(error))
        self.assertNotIn('is lost', self.log.output)
        self.assertEqual(
            1, self.driver.connection_status().generation)

    def test_a_host_that_cannot_be_asked_is_to_be_looked_at(self) -> None:
        self.driver.spawn(self.spec)
        for is_away in (False, True):
            if is_away:
                self.other.refuse_connections()
            self.assertRaises(
                exception.MigrationFailed, self.driver.live_migration,
                self.spec, migration_spec.Destination(
                    uri=URI, is_shared=True))

            self.assertEqual(
                is_away, f'{URI} cannot be asked' in self.log.output)

    def let_go_on(self) -> None:
        """Have libvirt lose the last answer of the other host."""
        guest, = self.hypervisor.guests
        self.other.guests = [dataclasses.replace(
            guest, reason=libvirt.VIR_DOMAIN_RUNNING_MIGRATED)]
        guest.reason = libvirt.VIR_DOMAIN_RUNNING_MIGRATION_CANCELED

    def test_what_libvirt_lets_go_on_though_it_runs_there_is_ended(
            self) -> None:
        self.driver.spawn(self.spec)
        for is_away in (False, True):
            with (self.subTest(is_away=is_away),
                  futures.ThreadPoolExecutor(1) as pool):
                with self.hypervisor.block('migrateToURI3') as hang:
                    moved = pool.submit(
                        self.driver.live_migration, self.spec,
                        migration_spec.Destination(uri=URI, is_shared=True))
                    self.assertTrue(hang.wait_entered())
                    self.let_go_on()
                    if is_away:
                        self.other.refuse_connections()
                if is_away:
                    # It runs nowhere until it is seen where it is.
                    fake_ports.wait_until(
                        lambda: self.hypervisor.guests[0].state ==
                        libvirt.VIR_DOMAIN_PAUSED, 'the guest to be held')
                    self.other.accept_connections()

                moved.result(30)

                self.assertEqual([], self.names())
                self.assertIs(True, self.other.guests[0].active)
                self.hypervisor.guests = [dataclasses.replace(
                    self.other.guests[0], reason=0)]
                self.other.guests.clear()
                self.driver.clean_up_operation(
                    self.spec.uuid, '', force=True)

    def test_so_it_is_after_a_restart(self) -> None:
        self.driver.spawn(self.spec)
        self.let_go_on()
        self.leave('migrating', 0.0)
        self.where = ports.Home.ELSEWHERE

        self.driver.clean_up_operation(self.spec.uuid, '', force=False)

        self.assertEqual([], self.names() + self.phases())
        self.assertIs(True, self.other.guests[0].active)

    def test_nothing_starts_it_here(self) -> None:
        self.go()

        self.assert_refused()

        error = self.assertRaises(exception.WrongState, self.verbs()[0])
        self.assertIn('must not be started here', error.next_step)
        self.assertFalse(os.path.exists(self.port))
        self.assertEqual([f'gone to {URI}'], self.phases())
        self.assertTrue(self.folder(self.spec).exists())

    def test_so_it_is_until_nova_has_it_elsewhere(self) -> None:
        self.go()
        self.driver = self.make_driver()
        self.assert_refused()

        self.where = ports.Home.ELSEWHERE

        self.assertRaises(exception.InstanceNotFound,
                          self.driver.pause, self.spec)
        self.assertEqual([], self.phases())

    def leave_behind(self, reason: int) -> None:
        """Have a copy here that stands still, as libvirt may leave it."""
        self.go()
        guest, = self.other.guests
        self.hypervisor.guests = [dataclasses.replace(
            guest, state=libvirt.VIR_DOMAIN_PAUSED, reason=reason)]
        with self.journal.left(self.spec.uuid) as (entry,):
            entry.leave_open('moved', 600.0)

    def in_post_copy(self, *, is_broken: bool) -> None:
        """Have the guest run there, and some of its memory be here."""
        self.leave_behind(
            libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED if is_broken
            else libvirt.VIR_DOMAIN_PAUSED_POSTCOPY)
        self.other.guests[0].reason = (
            libvirt.VIR_DOMAIN_RUNNING_POSTCOPY_FAILED if is_broken
            else libvirt.VIR_DOMAIN_RUNNING_POSTCOPY)
        with self.journal.left(self.spec.uuid) as (entry,):
            entry.leave_open('migrating', 0.0)

    def test_nothing_is_done_to_one_in_two_parts(self) -> None:
        for is_broken in (False, True):
            self.spec = self.guest()
            self.in_post_copy(is_broken=is_broken)
            for number, verb in enumerate((
                    *self.verbs(), lambda: self.driver.power_off(self.spec))):
                with self.subTest(number=number, is_broken=is_broken):
                    self.assertRaises(exception.MigrationBroken, verb)

            error = self.assertRaises(
                exception.WrongState, self.driver.live_migration_abort,
                self.spec)
            self.assertIn('on the other host already', str(error))
            guest, = self.hypervisor.guests
            self.assertIs(True, guest.active)
            self.assertIs(True, self.other.guests[0].active)
            self.assertEqual(['migrating'], self.phases())
            self.driver.destroy(self.spec)
            self.assertEqual([], self.names())
            self.where = ports.Home.DELETED
            self.driver.clean_up_operation(self.spec.uuid, '', force=False)
            self.other.guests.clear()
            self.driver.clean_up_operation(self.spec.uuid, '', force=False)
            self.assertEqual([], self.phases())
            self.where = ports.Home.HERE
            shutil.rmtree(self.files)

    def test_the_next_process_has_one_that_broke_go_on(self) -> None:
        self.in_post_copy(is_broken=True)
        self.hypervisor.guests[0].goes_to = []
        self.where = ports.Home.ELSEWHERE

        self.driver.clean_up_operation(self.spec.uuid, '', force=False)

        self.assertEqual([], self.names() + self.phases())
        self.assertFalse(os.path.exists(self.port))
        self.assertIs(True, self.other.guests[0].active)

    def test_it_can_be_deleted_while_it_goes_on(self) -> None:
        self.in_post_copy(is_broken=True)
        hang = self.hypervisor.block('migrateToURI3')
        self.addCleanup(hang.release)

        self.assertRaises(
            exception.MigrationBroken, self.driver.clean_up_operation,
            self.spec.uuid, '', force=False)
        self.driver.destroy(self.spec)

        self.assertEqual([], self.names())
        self.assertIs(True, self.other.guests[0].active)

    def test_one_that_libvirt_has_left_shut_off_has_moved(self) -> None:
        self.in_post_copy(is_broken=True)
        guest, = self.hypervisor.guests
        guest.state = libvirt.VIR_DOMAIN_SHUTOFF
        guest.reason = libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED
        self.where = ports.Home.ELSEWHERE

        self.driver.clean_up_operation(self.spec.uuid, '', force=False)

        self.assertEqual([], self.names() + self.phases())
        self.assertIs(True, self.other.guests[0].active)

    def test_one_that_crashed_there_has_moved(self) -> None:
        self.in_post_copy(is_broken=True)
        self.hypervisor.guests[0].is_going = True
        self.other.guests[0].state = libvirt.VIR_DOMAIN_SHUTOFF
        self.where = ports.Home.ELSEWHERE

        self.driver.clean_up_operation(self.spec.uuid, '', force=False)

        self.assertEqual([], self.names() + self.phases())

    def test_one_whose_memory_is_lost_is_stopped(self) -> None:
        self.in_post_copy(is_broken=True)
        self.other.guests.clear()

        self.driver.clean_up_operation(self.spec.uuid, '', force=False)

        self.assertEqual([], self.phases())
        guest, = self.hypervisor.guests
        self.assertIs(False, guest.active)
        self.assertIn('let its service start it', self.log.output)
        self.driver.power_on(self.spec)
        self.assertIs(True, guest.active)

    def test_what_libvirt_has_left_standing_still_goes(self) -> None:
        attachments = self.attachments_of(self.spec)

        def disconnect() -> None:
            self.driver.post_live_migration(
                self.spec, attachments=attachments)

        def forget() -> None:
            self.driver.post_live_migration_at_source(
                self.spec, attachments=attachments)

        for verb in (disconnect, forget, self.expire):
            with self.subTest(verb=verb):
                self.spec = self.guest()
                self.leave_behind(libvirt.VIR_DOMAIN_PAUSED_MIGRATION)
                self.other.refuse_connections()
                self.assertRaises(exception.DriverError, verb)
                self.assertEqual([self.spec.name], self.names())
                self.other.accept_connections()

                verb()

                self.assertEqual([], self.names())
                self.assertFalse(os.path.exists(self.port))
                self.assertIs(True, self.other.guests[0].active)
                self.where = ports.Home.ELSEWHERE
                self.expire()
                self.assertEqual([], self.phases())
                self.where = ports.Home.HERE
                shutil.rmtree(self.files)

    def expire(self) -> None:
        """Have what is open cleaned up."""
        for note in self.journal.notes():
            with self.journal.left(self.spec.uuid) as (entry,):
                entry.leave_open(note.phase, 0.0)
            self.driver.clean_up_operation(
                self.spec.uuid, note.id, force=False)

    def test_what_stands_still_for_another_reason_stays(self) -> None:
        for reason, is_coming in (
                (libvirt.VIR_DOMAIN_PAUSED_USER, False),
                # It is on its way back.
                (libvirt.VIR_DOMAIN_PAUSED_MIGRATION, True)):
            with self.subTest(reason=reason):
                self.spec = self.guest()
                self.leave_behind(reason)
                self.hypervisor.guests[0].is_coming = is_coming

                self.assertRaises(
                    exception.WrongState,
                    self.driver.post_live_migration_at_source, self.spec)

                self.assertEqual([self.spec.name], self.names())
                self.hypervisor.guests.clear()
                shutil.rmtree(self.files)

    def test_it_may_come_back_then(self) -> None:
        for back in (2, 10):
            self.spec = self.guest()
            self.where = ports.Home.HERE
            self.go()
            self.assert_refused()
            self.where = ports.Home.ELSEWHERE

            self.verbs()[back]()

            self.assertEqual(
                ['prepared'] if back == 10 else [], self.phases())
            self.driver.destroy(self.spec)
            shutil.rmtree(self.files)

    def test_another_process_does_not_know(self) -> None:
        self.go()
        self.assert_refused()
        self.where = None

        self.make_driver()

        self.assert_refused()

    def test_what_the_service_does_not_know_may_be_wanted(self) -> None:
        for is_shared in (True, False):
            with self.subTest(is_shared=is_shared):
                self.spec = self.guest()
                self.where = ports.Home.HERE
                self.go(is_shared=is_shared)
                self.assert_refused()
                self.where = ports.Home.UNKNOWN
                self.expire()
                note, = self.journal.notes()
                self.assertTrue(note.is_open)
                self.assertIn('clean --force', note.values['hint'])
                self.where = ports.Home.HERE
                self.assert_refused()

                self.where = ports.Home.UNKNOWN
                self.other.guests.clear()
                self.expire()

                self.assertEqual([], self.phases())
                self.assertEqual(
                    is_shared, self.folder(self.spec).exists())
                self.assertEqual(
                    is_shared, f'any file in {self.folder(self.spec)} is '
                    'needed' in self.log.output)
                self.assertNotIn('was deleted', self.log.output)
                shutil.rmtree(self.files)

    def test_by_force_it_is_forgotten(self) -> None:
        self.go()
        self.assert_refused()
        entry, = self.journal.notes()

        self.driver.clean_up_operation(
            self.spec.uuid, entry.id, force=True)

        self.driver.power_on(self.spec)
        self.assertEqual([self.spec.name], self.names())

    def test_by_force_one_is_forgotten_whose_guest_runs_there(self) -> None:
        self.go()
        entry, = self.journal.notes()

        self.driver.clean_up_operation(
            self.spec.uuid, entry.id, force=True)

        self.assertEqual([], self.phases())

    def test_it_is_kept_for_longer_than_its_deadline(self) -> None:
        self.go()
        self.assert_refused()
        with self.journal.left(self.spec.uuid) as (entry,):
            entry.leave_open(entry.note.phase, -1.0)

        self.assert_refused()

        note, = self.journal.notes()
        self.assertTrue(note.is_open)

    def test_a_host_that_cannot_be_asked_may_have_it(self) -> None:
        self.go()
        self.other.refuse_connections()
        self.assert_refused()

        self.other.accept_connections()
        self.other.guests.clear()

        self.driver.power_on(self.spec)
        self.assertEqual([], self.phases())

    def test_one_that_is_stopped_there_may_start_here(self) -> None:
        for is_shared in (True, False):
            self.spec = self.guest()
            self.go(is_shared=is_shared)
            self.assert_refused()
            guest, = self.other.guests
            guest.state = libvirt.VIR_DOMAIN_SHUTOFF
            if not is_shared:
                # Its disks are there.
                self.assert_refused()
            self.files_come()

            self.driver.finish_migration(self.spec)

            self.assertEqual([self.spec.name], self.names())
            self.assertEqual([], self.phases())
            self.driver.destroy(self.spec)

    def test_one_that_is_back_is_a_guest_as_any_other(self) -> None:
        for settled in (True, False):
            for verb in (self.driver.pause, self.driver.destroy):
                with self.subTest(settled=settled, verb=verb.__name__):
                    self.where = ports.Home.HERE
                    self.spec = self.guest()
                    self.go()
                    if settled:
                        self.assert_refused()
                    else:
                        with self.journal.left(self.spec.uuid) as (entry,):
                            entry.leave_open('moved', 600.0)
                    self.come_back()

                    verb(self.spec)

                    self.assertEqual([], self.phases())
                    self.driver.destroy(self.spec)
                    self.assertFalse(self.folder(self.spec).exists())

    def test_files_that_have_come_back_stay(self) -> None:
        now = time.time()
        for phase, options, moved_at in (
                ('moved', {'timeout_s': 600.0}, now - 3000.0),
                ('moved', {'timeout_s': 0.0}, now - 3600.0),
                ('migrating', {'timeout_s': 0.0}, now)):
            with self.subTest(phase=phase, **options):
                self.where = ports.Home.HERE
                self.spec = self.guest()
                self.go(is_shared=False)
                with self.journal.left(self.spec.uuid) as (entry,):
                    entry.leave_open(phase, moved_at=moved_at, **options)
                self.other.guests[0].state = libvirt.VIR_DOMAIN_SHUTOFF
                self.files_come()

                self.driver.finish_migration(self.spec)

                self.assertEqual([self.spec.name], self.names())
                self.assertEqual([], self.phases())
                self.driver.destroy(self.spec)

    def test_a_guest_that_is_nowhere_may_be_built_again(self) -> None:
        """Its disks are on both hosts, and those there are newer."""
        for given_up in (True, False):
            with self.subTest(given_up=given_up):
                self.spec = self.guest()
                self.go(is_shared=False)
                with self.journal.left(self.spec.uuid) as (entry,):
                    entry.leave_open('migrating', 0.0)
                self.other.guests.clear()
                error = self.assertRaises(
                    exception.MigrationUnclear, self.driver.power_on,
                    self.spec)
                self.assertIn('neither host has it', str(error))
                self.assertIn(
                    f'operations clean --force {entry.note.id}',
                    error.next_step)

                if given_up:
                    self.driver.finish_migration(self.spec)
                else:
                    self.driver.clean_up_operation(
                        self.spec.uuid, entry.note.id, force=True)
                    self.driver.power_on(self.spec)

                self.assertEqual([self.spec.name], self.names())
                self.assertEqual([], self.phases())
                self.driver.destroy(self.spec)
                shutil.rmtree(self.files)

    def test_one_that_begins_to_come_back_is_not_back(self) -> None:
        self.go()
        self.assert_refused()
        guest, = self.other.guests
        self.hypervisor.guests = [dataclasses.replace(
            guest, state=libvirt.VIR_DOMAIN_PAUSED, is_coming=True,
            reason=libvirt.VIR_DOMAIN_PAUSED_STARTING_UP)]

        self.driver.clean_up_operation(self.spec.uuid, '', force=False)

        self.assertEqual([f'gone to {URI}'], self.phases())

    def test_files_that_it_has_left_are_in_no_ones_way(self) -> None:
        self.where = ports.Home.ELSEWHERE
        self.go(is_shared=False)
        with self.journal.left(self.spec.uuid) as (entry,):
            entry.leave_open('moved', 600.0, moved_at=time.time())

        self.driver.spawn(self.spec)

        self.assertEqual([self.spec.name], self.names())

    def test_a_third_host_starts_no_second_copy(self) -> None:
        there = owners.journal(self.instances_path, owners.THERE)
        verbs = [self.driver.spawn, self.driver.finish_migration]
        for phase, verb in itertools.product(
                ('migrating', 'moved', f'gone to {URI}'), verbs):
            with self.subTest(phase=phase, verb=verb.__name__):
                self.spec = self.guest()
                self.driver.spawn(self.spec)
                if verb == verbs[1]:
                    shutil.copytree(self.folder(self.spec), self.files)
                self.other.guests = self.hypervisor.guests[:]
                self.hypervisor.guests.clear()
                shutil.rmtree(self.folder(self.spec))
                self.leave(phase, 600.0, journal=there)
                note, = self.journal.notes()
                if verb == verbs[1]:
                    self.files_come()
                error = self.assertRaises(
                    exception.WrongState, verb, self.spec)
                self.assertIn(f'up on {URI}', str(error))
                self.assertIn(
                    f'operations clean --force {note.id}', error.next_step)
                self.other.refuse_connections()
                error = self.assertRaises(
                    exception.WrongState, verb, self.spec)
                self.assertIn('cannot be asked', str(error))
                self.assertEqual([note], self.journal.notes())
                self.assertEqual([], self.names())

                if phase == 'moved':
                    self.driver.clean_up_operation(
                        self.spec.uuid, note.id, force=True)
                else:
                    self.other.accept_connections()
                    self.other.guests.clear()
                verb(self.spec)

                self.assertEqual([self.spec.name], self.names())
                self.other.accept_connections()
                self.driver.destroy(self.spec)
                for left in self.journal.notes():
                    self.driver.clean_up_operation(
                        self.spec.uuid, left.id, force=True)
                shutil.rmtree(self.folder(self.spec), ignore_errors=True)

    def test_who_has_told_of_the_move_may_fail_later(self) -> None:
        self.go()
        note, = self.journal.notes()
        self.driver.clean_up_operation(self.spec.uuid, note.id, force=False)
        with self.journal.left(self.spec.uuid) as (entry,):
            entry.leave_open('moved', 600.0)

        self.driver.post_live_migration_at_source(self.spec)

        self.assert_refused()

    def test_a_deletion_leaves_what_the_guest_uses(self) -> None:
        for is_shared in (True, False):
            for settled in (True, False):
                with self.subTest(is_shared=is_shared, settled=settled):
                    self.where = ports.Home.HERE
                    self.spec = self.guest()
                    self.go(is_shared=is_shared)
                    if settled:
                        self.assert_refused()
                    before = len(self.log.output)

                    self.driver.destroy(self.spec, attachments=[
                        self.volume()])

                    self.assertEqual(is_shared, os.path.isfile(
                        self.folder(self.spec) / 'disk'))
                    self.assertFalse(
                        self.driver.delete_instance_files(self.spec))
                    self.assertEqual([], self.connector.told)
                    self.assertEqual(
                        is_shared or not settled,
                        'The files are left' in self.log.output[before:])
                    self.assert_ends(is_shared=is_shared)

    def test_what_has_come_here_is_deleted_with_its_files(self) -> None:
        """Also where the host that let it go does nothing any more."""
        self.driver.spawn(self.spec)
        self.leave('gone to fake:///', 600.0, journal=owners.journal(
            self.instances_path, owners.THERE))

        self.driver.destroy(self.spec)

        self.assertFalse(self.folder(self.spec).exists())

    def test_an_old_domain_is_deleted_without_the_files(self) -> None:
        """They are those of a guest that another host has let go."""
        there = owners.journal(self.instances_path, owners.THERE)
        for failing, coming in itertools.product((False, True), repeat=2):
            with self.subTest(failing=failing, coming=coming):
                self.spec = self.guest()
                self.driver.spawn(self.spec)
                guest, = self.hypervisor.guests
                self.other.guests = [dataclasses.replace(guest)]
                if coming:
                    guest.state = libvirt.VIR_DOMAIN_PAUSED
                    guest.reason = libvirt.VIR_DOMAIN_PAUSED_MIGRATION
                else:
                    self.driver.power_off(self.spec)
                self.leave(f'gone to {URI}', 600.0, journal=there)
                port = fake_attachment.FakeAttachment(
                    self.port, fake_attachment.failing('disconnect')
                    if failing else lambda point: None)

                with contextlib.suppress(fake_attachment.Failed):
                    self.driver.destroy(self.spec, attachments=[port])
                self.assertEqual([], self.names())
                # The other host ends its move later.
                with there.left(self.spec.uuid) as (entry,):
                    entry.end()
                self.driver.clean_up_operation(
                    self.spec.uuid, '', force=False)

                self.assertEqual([], self.phases())
                self.assertTrue((self.folder(self.spec) / 'disk').exists())
                shutil.rmtree(self.folder(self.spec))

    def test_a_deletion_in_an_unclear_state_never_takes_the_files(
            self) -> None:
        for failing in (False, True):
            with self.subTest(failing=failing):
                self.where = ports.Home.HERE
                self.spec = self.guest()
                self.go()
                with self.journal.left(self.spec.uuid) as (entry,):
                    entry.leave_open('migrating', 0.0)
                self.hypervisor.guests = [dataclasses.replace(
                    self.other.guests[0], state=libvirt.VIR_DOMAIN_PAUSED,
                    reason=libvirt.VIR_DOMAIN_PAUSED_MIGRATION)]
                self.other.refuse_connections()
                port = fake_attachment.FakeAttachment(
                    self.port, fake_attachment.failing('disconnect')
                    if failing else lambda point: None)
                with contextlib.suppress(fake_attachment.Failed):
                    self.driver.destroy(self.spec, attachments=[port])
                self.assertEqual([], self.names())

                self.other.accept_connections()
                self.where = ports.Home.ELSEWHERE
                # The migration first, whatever the names of entries say.
                for note in self.journal.notes():
                    self.driver.clean_up_operation(
                        self.spec.uuid, note.id, force=True)

                self.assertEqual([], self.phases())
                self.assertTrue((self.folder(self.spec) / 'disk').exists())
                shutil.rmtree(self.files)
                shutil.rmtree(self.folder(self.spec))

    def volume(self) -> ports.Attachment:
        """Return a volume as the other host has it."""
        return self.driver.volume_attachment(
            self.spec, [test_volumes.volume()], self.connector)

    def assert_ends(self, *, is_shared: bool) -> None:
        """Fail unless it is told when nothing is there any more."""
        self.where = ports.Home.DELETED
        self.other.guests.clear()
        shutil.rmtree(self.files)
        with contextlib.suppress(exception.DriverError):
            self.driver.pause(self.spec)
        self.assertEqual([], self.phases())
        self.assertIn(
            f'any file in {self.folder(self.spec)} is needed'
            if is_shared else 'look whether its guest is still on',
            self.log.output)
