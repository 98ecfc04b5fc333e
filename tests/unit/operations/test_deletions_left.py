# SPDX-License-Identifier: Apache-2.0

"""Deletions on two hosts that share the folder of instances."""

from collections.abc import Callable
import contextlib
import dataclasses
import os
import pathlib
import shutil

import fixtures
import libvirt

from nova_libvirt_driver.cli.doctor import check_leftovers
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress
from tests import owners
from tests.unit.operations import whole

URI = 'qemu+tcp://two/system'


SHUT_DOWN = (libvirt.VIR_DOMAIN_SHUTOFF,
             libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED)
UP = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_UNPAUSED)


class During(fake_progress.RecordingProgress):
    """Has something done while a guest is moved."""

    def __init__(self, what: Callable[[], object]) -> None:
        super().__init__()
        self._what = what

    def step(self, name: str) -> None:
        super().step(name)
        if name == 'migrate':
            self._what()


class TwoHosts(whole.WholeTestCase):
    """Has a driver on each of two hosts, and a guest on neither."""

    def setUp(self) -> None:
        super().setUp()
        self.other = fake_libvirt.FakeHypervisor()
        self.hypervisor.others[URI] = self.other
        self.there = owners.journal(
            self.instances_path, dataclasses.replace(owners.THERE, uri=URI))
        self.spec = self.guest()
        self.port = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'port')
        self.port_there = fake_attachment.FakeAttachment(self.port)
        self.driver_there = self.make_driver_there()

    def make_driver_there(self) -> driver_module.LibvirtDriver:
        driver = driver_module.LibvirtDriver(
            fake_ports.virt_api(
                images=self.images, home=self.home,
                attachments=lambda instance: [self.port_there]),
            config={'DEFAULT': {'host': 'there',
                                'instances_path': self.instances_path},
                    'libvirt': {'connection_uri': URI, 'virt_type': 'qemu'}})
        self.addCleanup(driver.cleanup_host, 'there')
        driver.init_host('there')
        return driver

    def look(self, *drivers: driver_module.LibvirtDriver) -> None:
        """Have hosts look once what was left there."""
        for driver in drivers:
            driver.clean_up_operation(self.spec.uuid, '', force=False)

    def states(self) -> list[tuple[str, str]]:
        """Return what is left, and whether for later."""
        return sorted((note.owner.host, note.phase)
                      for note in self.journal.notes() if note.owner)

    def delete(self, driver: driver_module.LibvirtDriver, *,
               failing: bool = False) -> None:
        port = fake_attachment.FakeAttachment(
            self.port, fake_attachment.failing('disconnect')
            if failing else lambda point: None)
        with contextlib.suppress(fake_attachment.Failed):
            driver.destroy(self.spec, attachments=[port])

    def spawn_on_both(self) -> None:
        self.driver.spawn(self.spec)
        guest, = self.hypervisor.guests
        self.other.guests = [dataclasses.replace(guest)]

    def leave_migration(
            self, phase: str, *, is_shared: bool = True) -> None:
        """Have a live migration from this host to the other interrupted."""
        self.journal.begin(
            'live-migrate', uuid=self.spec.uuid, name=self.spec.name,
            uri=URI, is_shared=is_shared, was_paused=False, attachments=[],
        ).leave_open(phase, 0.0)


class LeftTest(TwoHosts):

    def test_what_is_left_on_both_does_not_wait_for_each_other(self) -> None:
        drivers = self.driver, self.driver_there
        for first, second in (drivers, reversed(drivers)):
            with self.subTest(first_is_here=first is self.driver):
                self.spawn_on_both()
                self.delete(first, failing=True)
                self.folder(self.spec).mkdir(exist_ok=True)
                self.delete(second, failing=True)
                self.assertEqual([('here', 'left for later'),
                                  ('there', 'left for later')], self.states())

                self.look(first, second)

                self.assertEqual([], self.states())
                self.assertFalse(self.folder(self.spec).exists())

    def test_nor_do_two_deletions_at_the_same_time(self) -> None:
        self.spawn_on_both()
        entry = self.there.begin(
            'destroy', uuid=self.spec.uuid, name=self.spec.name,
            destroy_disks=True, here_despite=[], attachments=[])
        self.delete(self.driver)
        self.assertTrue(self.folder(self.spec).exists())
        self.other.guests.clear()
        entry.leave_rest()
        entry.release()

        self.look(self.driver, self.driver_there)

        self.assertEqual([], self.states())
        self.assertFalse(self.folder(self.spec).exists())

    def test_what_is_left_elsewhere_keeps_no_files(self) -> None:
        """The host there may be gone for good."""
        for operation, values in (
                ('destroy', {'destroy_disks': True, 'here_despite': [],
                             'attachments': []}),
                ('disconnect volume', {'info': {}}),
                ('migrate', {'confirmed': True, 'is_here': False})):
            for is_up, has_domain in ((True, True), (False, True),
                                      (False, False)):
                with self.subTest(operation=operation, is_up=is_up,
                                  has_domain=has_domain):
                    self.driver.spawn(self.spec)
                    guest, = self.hypervisor.guests
                    entry = self.there.begin(
                        operation, uuid=self.spec.uuid, name=self.spec.name,
                        **values)
                    if operation == 'destroy':
                        entry.leave_rest()
                    entry.release()
                    if not has_domain:
                        self.hypervisor.remove_guest(guest)
                    elif not is_up:
                        self.driver.power_off(self.spec)

                    if has_domain:
                        self.delete(self.driver)
                    else:
                        self.assertTrue(
                            self.driver.delete_instance_files(self.spec))

                    self.assertFalse(self.folder(self.spec).exists())
                    self.assertEqual(['there'], [
                        host for host, _ in self.states()])
                    with self.there.left(self.spec.uuid) as (left,):
                        left.end()

    def test_files_stay_that_a_guest_uses_on_the_other_host(self) -> None:
        """It was up on both, and is deleted on one of them."""
        for phase in ('migrating', 'moved'):
            for failing in (False, True):
                with self.subTest(phase=phase, failing=failing):
                    self.spawn_on_both()
                    pathlib.Path(self.port).touch()
                    self.leave_migration(phase)
                    self.delete(self.driver_there, failing=failing)
                    self.assertEqual(failing, self.port_there.is_connected)
                    self.assertIn(
                        ('there', 'left for later'), self.states())

                    self.look(self.driver_there, self.driver)
                    self.look(self.driver_there, self.driver)

                    self.assertEqual([], self.states())
                    self.assertEqual([self.spec.name], self.names())
                    self.assertTrue(self.folder(self.spec).exists())
                    self.assertFalse(self.port_there.is_connected)
                    self.delete(self.driver)
                    self.assertFalse(self.folder(self.spec).exists())

    def test_so_they_do_when_something_else_was_interrupted_there(
            self) -> None:
        self.spawn_on_both()
        self.journal.begin(
            'reboot', uuid=self.spec.uuid, name=self.spec.name).release()
        self.delete(self.driver_there)

        self.look(self.driver, self.driver_there)

        self.assertEqual([], self.states())
        self.assertTrue(self.folder(self.spec).exists())

    def test_so_they_do_when_that_leaves_it_down(self) -> None:
        for operation, values in (
                ('reboot', {'attachments': ['lost']}),
                ('detach', {'attachments': [], 'nic': {
                    'mac': '52:54:00:12:34:56'}})):
            with self.subTest(operation=operation):
                self.spawn_on_both()
                self.journal.begin(
                    operation, uuid=self.spec.uuid, name=self.spec.name,
                    **values).release()
                self.hypervisor.guests[0].state = libvirt.VIR_DOMAIN_SHUTOFF
                self.delete(self.driver_there)

                self.look(self.driver, self.driver_there)

                self.assertEqual([], self.states())
                self.assertEqual([self.spec.name], self.names())
                self.assertTrue(self.folder(self.spec).exists())
                self.delete(self.driver)
                self.assertFalse(self.folder(self.spec).exists())

    def test_so_they_do_when_the_guest_has_stayed_and_is_down(self) -> None:
        """The other host cannot be asked, and is not certain."""
        for phase in ('', 'migrating'):
            with self.subTest(phase=phase):
                self.spawn_on_both()
                self.leave_migration(phase)
                guest, = self.hypervisor.guests
                guest.state = libvirt.VIR_DOMAIN_SHUTOFF
                guest.reason = libvirt.VIR_DOMAIN_SHUTOFF_CRASHED
                self.delete(self.driver_there)
                self.other.refuse_connections()

                with contextlib.suppress(exception.MigrationUnclear):
                    self.look(self.driver)
                self.look(self.driver_there)

                self.assertEqual([self.spec.name], self.names())
                self.assertTrue(self.folder(self.spec).exists())
                self.other.accept_connections()
                self.look(self.driver, self.driver_there)
                self.assertEqual([], self.states())
                # Now it is certain that it had moved, and was deleted there.
                self.assertEqual(not phase, self.folder(self.spec).exists())
                self.delete(self.driver)
                self.assertFalse(self.folder(self.spec).exists())

    def test_so_they_do_when_a_migration_fails_meanwhile(self) -> None:
        self.spawn_on_both()

        self.assertRaises(
            exception.MigrationFailed, self.driver.live_migration, self.spec,
            migration_spec.Destination(uri=URI, is_shared=True),
            progress=During(lambda: self.delete(self.driver_there)))

        self.look(self.driver_there)
        self.assertEqual([], self.states())
        self.assertTrue(self.folder(self.spec).exists())

    def test_what_follows_without_files_is_done_all_the_same(self) -> None:
        """As on a host that a guest has left for this one."""
        self.driver.spawn(self.spec)
        self.journal.begin(
            'receive', uuid=self.spec.uuid, name=self.spec.name, made=False,
            attachments=[]).leave_open('prepared', 0.0)
        with contextlib.suppress(fake_attachment.Failed):
            self.driver_there.destroy(
                self.spec, destroy_disks=False,
                attachments=[fake_attachment.FakeAttachment(
                    self.port, fake_attachment.failing('disconnect'))])

        self.look(self.driver)

        left, = self.journal.notes()
        self.assertTrue(left.is_rest)
        self.assertIsNone(left.superseded_by)

    def test_those_of_one_that_has_gone_are_removed(self) -> None:
        for phase in ('migrating', 'moved'):
            with self.subTest(phase=phase):
                self.spawn_on_both()
                self.hypervisor.guests.clear()
                self.leave_migration(phase)
                self.delete(self.driver_there)

                self.look(self.driver_there, self.driver)
                self.look(self.driver_there, self.driver)

                self.assertEqual([], self.states())
                self.assertFalse(self.folder(self.spec).exists())


class CopyTest(TwoHosts):
    """Libvirt has left a copy standing still of a guest that has moved."""

    where: ports.Home | None = None

    def home(self, instance: instance_spec.Instance) -> ports.Home | None:
        return self.where

    def leave_copy(
            self, phase: str, *, is_shared: bool = True,
            reason: int = libvirt.VIR_DOMAIN_PAUSED_MIGRATION) -> None:
        self.spawn_on_both()
        guest, = self.hypervisor.guests
        guest.state, guest.reason = libvirt.VIR_DOMAIN_PAUSED, reason
        self.leave_migration(phase, is_shared=is_shared)

    def assert_gone(self) -> None:
        self.assertEqual([], self.names())
        self.assertEqual([], self.states())
        self.assertFalse(self.folder(self.spec).exists())

    def test_it_goes_with_what_was_deleted_there(self) -> None:
        for phase in ('migrating', 'moved'):
            with self.subTest(phase=phase):
                self.leave_copy(phase)
                self.delete(self.driver_there)

                self.look(self.driver, self.driver_there)

                self.assert_gone()

    def test_it_goes_at_once_when_nothing_was_killed(self) -> None:
        def be_deleted_there() -> None:
            guest, = self.hypervisor.guests
            guest.state = libvirt.VIR_DOMAIN_PAUSED
            guest.reason = libvirt.VIR_DOMAIN_PAUSED_MIGRATION
            self.delete(self.driver_there)

        self.spawn_on_both()

        self.driver.live_migration(
            self.spec, migration_spec.Destination(uri=URI, is_shared=True),
            progress=During(be_deleted_there))

        self.assertEqual([], self.names())
        self.driver.post_live_migration_at_source(self.spec)
        self.look(self.driver, self.driver_there)
        self.assert_gone()

    def test_it_goes_when_its_files_have_gone(self) -> None:
        self.leave_copy('moved')
        self.other.guests.clear()
        shutil.rmtree(self.folder(self.spec))

        self.look(self.driver)

        self.assert_gone()

    def test_it_goes_when_the_service_has_deleted_the_instance(self) -> None:
        self.leave_copy('moved', is_shared=False)
        self.other.guests.clear()
        self.where = ports.Home.DELETED

        self.look(self.driver)

        self.assert_gone()

    def test_it_stays_without_proof(self) -> None:
        def be_cut_off() -> None:
            self.delete(self.driver_there)
            self.other.refuse_connections()

        def be_moved_on() -> None:
            self.other.guests.clear()

        def be_deleted_earlier() -> None:
            self.other.guests.clear()
            self.there.begin(
                'destroy', uuid=self.spec.uuid, name=self.spec.name,
                destroy_disks=True, here_despite=['another'],
                attachments=[]).release()

        def be_forgotten() -> None:
            self.other.guests.clear()
            self.where = ports.Home.UNKNOWN

        for case in (be_cut_off, be_moved_on, be_deleted_earlier,
                     be_forgotten):
            with self.subTest(case=case.__name__):
                self.leave_copy('moved')
                case()

                error = self.assertRaises(
                    exception.WrongState, self.look, self.driver)

                self.assertEqual([self.spec.name], self.names())
                self.assertTrue(self.folder(self.spec).exists())
                self.assertIn('virsh destroy', error.next_step)
                left = next(note for note in self.journal.notes()
                            if note.operation == 'live-migrate')
                self.assertTrue(left.is_open)
                self.assertEqual(error.next_step, left.values['hint'])
                self.end_all()

    def test_doctor_says_what_to_do_with_it(self) -> None:
        self.leave_copy('moved')
        self.other.guests.clear()
        self.assertRaises(exception.WrongState, self.look, self.driver)

        found = check_leftovers.leftovers(
            self.instances_path, os.path.dirname(self.port), 'here',
            owners.HERE)

        self.assertIn(self.spec.uuid, found.detail)
        self.assertIn('virsh resume', found.fix)
        self.end_all()

    def test_what_an_operator_does_with_it_ends_that(self) -> None:
        for is_needed in (True, False):
            with self.subTest(is_needed=is_needed):
                self.leave_copy('moved')
                self.other.guests.clear()
                self.assertRaises(
                    exception.WrongState, self.look, self.driver)
                guest, = self.hypervisor.guests
                guest.state, guest.reason = UP if is_needed else SHUT_DOWN
                for note in self.journal.notes():
                    with self.journal.left(self.spec.uuid) as (entry,):
                        entry.leave_open(note.phase, 0.0)

                self.look(self.driver)

                self.assertEqual([], self.states())
                self.assertEqual(
                    [self.spec.name] * is_needed, self.names())
                self.assertTrue(self.folder(self.spec).exists())
                self.end_all()

    def end_all(self) -> None:
        self.other.accept_connections()
        self.hypervisor.guests.clear()
        self.other.guests.clear()
        for note in self.journal.notes():
            with self.journal.left(
                    self.spec.uuid, note.id, foreign=True) as (entry,):
                entry.end()
        shutil.rmtree(self.folder(self.spec))
