# SPDX-License-Identifier: Apache-2.0

"""What is left by processes that were killed, as the journal tells it."""

import contextlib
import fcntl
import logging
import os
import pathlib
import resource
from typing import Any

import fixtures
import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.operations.steps import exclusive
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.testing import fake_guest
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress
from tests.unit.operations import whole


FAILED = fake_libvirt.libvirt_error(
    libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_FROM_QEMU, 'no luck')


class Unfinished(fake_progress.RecordingProgress):
    """Ends a verb when it is about to be finished."""

    def step(self, name: str) -> None:
        super().step(name)
        if name == 'finish':
            raise fake_progress.Stopped(name)


class Unending(fake_progress.RecordingProgress):
    """Has the journal's entry not be removable when a verb is finished."""

    def __init__(self, journal: pathlib.Path) -> None:
        super().__init__()
        self._journal = journal

    def step(self, name: str) -> None:
        super().step(name)
        if name == 'finish':
            path, = self._journal.glob('*.json')
            path.unlink()
            path.mkdir()


class FullDisk(fake_progress.RecordingProgress):
    """Ends a verb at its first step; there is no room from then on."""

    def step(self, name: str) -> None:
        super().step(name)
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
        raise fake_progress.Stopped(name)


class Asked(fake_progress.RecordingProgress):
    """Keeps the journal's entry of a verb that waits, and ends the verb."""

    def __init__(self, journal: pathlib.Path) -> None:
        super().__init__()
        self._journal = journal

    def advance(self, done: int, total: int) -> None:
        self.path, = self._journal.glob('*.json')
        self.entry = self.path.read_bytes()
        raise fake_progress.Stopped('wait')


class LosingHypervisor(fake_libvirt.FakeHypervisor):
    """Breaks the connection when a call is done, before it is heard of."""

    loses = ''
    """What it is to happen to: ``define`` or ``undefine``, once."""

    def define(self, xml: str) -> tuple[fake_libvirt.Guest, int]:
        found = super().define(xml)
        self._lose('define')
        return found

    def emit(
            self, event_id: int, guest: fake_libvirt.Guest,
            *args: object) -> None:
        if args[:1] == (libvirt.VIR_DOMAIN_EVENT_UNDEFINED,):
            self._lose('undefine')
        super().emit(event_id, guest, *args)

    def _lose(self, what: str) -> None:
        if self.loses == what:
            self.loses = ''
            self.break_connections()
            raise fake_libvirt.libvirt_error(
                libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC,
                'internal error: client socket is closed')


class RecoveryTest(whole.WholeTestCase):

    hypervisor_class = LosingHypervisor
    hypervisor: LosingHypervisor

    def leave(self, operation: str, **values: Any) -> None:
        """Leave an entry whose process has died."""
        uuid, name = str(values.pop('uuid')), str(values.pop('name'))
        self.journal.begin(
            operation, uuid=uuid, name=name, **values).release()

    def restart(self) -> None:
        """Start another driver, and wait until it has cleaned up."""
        self.make_driver()
        fake_ports.wait_until(
            lambda: not self.remains_of_operations(), 'an empty journal')

    def remains_of_operations(self) -> list[str]:
        return os.listdir(os.path.join(self.instances_path, '.operations'))

    def test_a_half_made_guest_is_removed(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        self.leave('spawn', uuid=spec.uuid, name=spec.name)

        self.restart()

        self.assertEqual([], self.names())
        self.assertEqual([], self.remains())

    def test_one_that_takes_long_holds_up_no_other(self) -> None:
        specs = [self.guest(name) for name in ('one', 'two', 'three')]
        for spec in specs:
            self.driver.spawn(spec)
        for spec in specs:
            self.leave('spawn', uuid=spec.uuid, name=spec.name)

        with self.hypervisor.block('destroy', 1):
            self.make_driver()
            fake_ports.wait_until(
                lambda: len(self.names()) == 1, 'the others gone')

        fake_ports.wait_until(
            lambda: not self.remains_of_operations(), 'an empty journal')

    def test_it_waits_for_libvirt(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        self.leave('spawn', uuid=spec.uuid, name=spec.name)
        self.driver.cleanup_host('here')
        self.hypervisor.refuse_connections()
        self.make_driver()
        self.assertEqual(['one'], self.names())

        self.hypervisor.accept_connections()
        fake_ports.wait_until(
            lambda: not self.remains_of_operations(), 'an empty journal',
            timeout_s=20)

        self.assertEqual([], self.names())
        self.assertEqual([], self.remains())

    def fail_to_spawn(self, spec: guest_spec.GuestSpec) -> None:
        """Let a spawn fail, and its undo."""
        self.hypervisor.fail_next('undefineFlags', FAILED)
        self.assertRaises(
            fake_progress.Stopped, self.driver.spawn, spec,
            progress=Unfinished())
        self.assertEqual({spec.uuid}, self.journal.subjects())

    def test_what_could_not_be_undone_is_once_libvirt_is_back(self) -> None:
        spec = self.guest()
        self.fail_to_spawn(spec)

        self.reconnect(self.driver)
        fake_ports.wait_until(
            lambda: not self.journal.subjects(), 'an empty journal')

        self.assertEqual([], self.names())
        self.assertFalse(self.folder(spec).exists())

    def test_what_could_not_be_undone_is_by_the_next_spawn(self) -> None:
        spec = self.guest()
        self.fail_to_spawn(spec)
        self.hypervisor.fail_next('undefineFlags', FAILED)

        self.assertRaises(
            exception.LibvirtFailure, self.driver.spawn, spec)
        self.driver.spawn(spec)

        self.assertEqual(set(), self.journal.subjects())
        self.assertEqual(['one'], self.names())

    def test_what_the_journal_cannot_forget_is_undone(self) -> None:
        spec = self.guest()

        self.assertRaises(
            exception.StorageFailure, self.driver.spawn, spec,
            progress=Unending(pathlib.Path(self.journal.folder)))

        self.assertEqual([], self.names())
        self.assertFalse(self.folder(spec).exists())

    def test_an_instance_that_is_busy_is_not_cleaned(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        self.leave('rescue', uuid=spec.uuid, name=spec.name, was_up=True)
        log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        with exclusive.Exclusive(self.journal.folder, 'here').hold(
                spec, 'rescue', ports.NullProgress()):
            self.make_driver()

            def looked() -> bool:
                # Who has the instance gets its entry, whoever looks.
                with self.journal.left(spec.uuid) as entries:
                    self.assertEqual(1, len(entries))
                return 'busy with rescue' in log.output

            fake_ports.wait_until(looked, 'a busy instance')

        self.assertEqual(['one'], self.names())

    def test_an_operation_under_way_is_left_alone(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        entry = self.journal.begin('spawn', uuid=spec.uuid, name=spec.name)
        self.addCleanup(entry.end)
        self.leave('spawn', uuid=self.guest().uuid, name='gone')

        self.make_driver()
        fake_ports.wait_until(
            lambda: len(self.remains_of_operations()) == 1, 'one entry')

        self.assertEqual(['one'], self.names())

    def test_one_begins_only_when_it_can_see_what_is_left(self) -> None:
        spec = self.guest()
        self.leave('spawn', uuid=spec.uuid, name=spec.name)
        path, = pathlib.Path(self.journal.folder).iterdir()
        with open(path, 'rb') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertRaises(
                exception.WrongState, self.driver.spawn, spec)

        self.assertEqual([], self.names())
        self.driver.spawn(spec)
        self.assertEqual([], self.remains_of_operations())

    def test_a_foreign_domain_is_not_touched(self) -> None:
        foreign = self.hypervisor.add_guest('foreign')
        self.leave('spawn', uuid=foreign.uuid, name='foreign')

        self.restart()

        self.assertEqual(['foreign'], self.names())

    def test_a_copy_and_its_job_are_removed(self) -> None:
        spec = self.guest(devices=device_spec.DeviceSpec(
            video=None, usb_controller=False, agent=True))
        self.driver.spawn(spec)
        folder = os.path.join(self.instances_path, 'snapshots', 'a' * 32)
        os.makedirs(folder)
        guest, = self.hypervisor.guests
        guest.jobs['vda'] = fake_guest.BlockJob(f'{folder}/copy')
        guest.agent = guest.frozen = True
        self.leave('snapshot', uuid=spec.uuid, name=spec.name,
                   folder=folder, target_dev='vda')

        self.restart()

        self.assertFalse(os.path.exists(folder))
        self.assertEqual({}, guest.jobs)
        self.assertFalse(guest.frozen)
        self.assertEqual(['one'], self.names())

    def test_a_copy_is_removed_where_the_folder_is_by_now(self) -> None:
        folder = os.path.join(self.instances_path, 'snapshots', 'a' * 32)
        os.makedirs(folder)
        spec = self.guest()
        self.leave('snapshot', uuid=spec.uuid, name=spec.name,
                   folder=f'/before/snapshots/{"a" * 32}', target_dev='vda')

        self.restart()

        self.assertFalse(os.path.exists(folder))

    def test_what_cannot_be_cleaned_is_forgotten_by_force_only(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        self.leave('snapshot', uuid=spec.uuid, name=spec.name)
        note, = self.journal.notes()
        for verb in (self.driver.pause, lambda spec: (
                self.driver.clean_up_operation(
                    spec.uuid, note.id, force=False))):
            self.assertRaisesRegex(
                exception.StorageFailure, 'makes no sense', verb, spec)

        self.driver.clean_up_operation(spec.uuid, note.id, force=True)

        self.assertEqual([], self.journal.notes())
        self.driver.pause(spec)

    def test_what_cannot_be_cleaned_stops_no_deletion(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        self.leave('snapshot', uuid=spec.uuid, name=spec.name)

        self.driver.destroy(spec)

        self.assertEqual([], self.names())
        self.assertFalse(self.folder(spec).exists())
        self.assertEqual(1, len(self.journal.notes()))
        self.assertIn('cannot be cleaned up now', self.log.output)

    def test_the_next_snapshot_thaws_what_a_killed_one_froze(self) -> None:
        spec = self.guest(devices=device_spec.DeviceSpec(
            video=None, usb_controller=False, agent=True))
        self.driver.spawn(spec)
        guest, = self.hypervisor.guests
        guest.agent = guest.frozen = True
        self.leave('snapshot', uuid=spec.uuid, name=spec.name,
                   folder=os.path.join(self.instances_path, 'nowhere'),
                   target_dev='vda')
        # Before it freezes anything itself.
        self.hypervisor.fail_next('blockCopy', FAILED)

        self.assertRaises(exception.DriverError, self.driver.snapshot, spec,
                          '5f0c1f0e-6d1f-4a39-9f0c-0f3d5a9d7b11')

        self.assertFalse(guest.frozen)

    def test_a_rescue_half_made_is_taken_back(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        before = self.driver.get_domain_xml(spec, inactive=True)
        self.driver.rescue(spec, self.image.id)
        self.leave('rescue', uuid=spec.uuid, name=spec.name, was_up=True)

        self.restart()

        self.assertEqual(
            before, self.driver.get_domain_xml(spec, inactive=True))
        self.assertNotIn(f'{spec.uuid}/disk.rescue', self.remains())

    def test_a_guest_that_was_down_before_a_rescue_is_down_again(
            self) -> None:
        spec = self.guest()
        self.driver.spawn(spec, power_on=False)
        self.driver.rescue(spec, self.image.id)
        self.leave('rescue', uuid=spec.uuid, name=spec.name, was_up=False)

        self.restart()

        self.assertEqual(
            [False], [guest.active for guest in self.hypervisor.guests])

    def test_a_rescue_half_made_is_no_obstacle_to_the_next(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        before = self.driver.get_domain_xml(spec, inactive=True)
        self.driver.rescue(spec, self.image.id)
        self.leave('rescue', uuid=spec.uuid, name=spec.name, was_up=True)

        self.driver.rescue(spec, self.image.id)
        self.driver.unrescue(spec)

        self.assertEqual(
            before, self.driver.get_domain_xml(spec, inactive=True))
        self.assertEqual(set(), self.journal.subjects())

    def test_a_new_rescue_is_not_taken_for_the_old_one(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        self.leave('rescue', uuid=spec.uuid, name=spec.name, was_up=True)

        self.driver.rescue(spec, self.image.id)

        self.assertEqual(set(), self.journal.subjects())

    def test_a_guest_that_was_being_rebooted_is_started(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec, power_on=False)
        self.leave('reboot', uuid=spec.uuid, name=spec.name)

        self.restart()

        self.assertTrue(self.hypervisor.guests[0].active)

    def test_a_guest_that_was_asked_to_shut_down_is_rebooted(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        guest, = self.hypervisor.guests
        for obeys in (True, False):
            guest.obeys, before = False, guest.id
            asked = Asked(pathlib.Path(self.journal.folder))
            self.assertRaises(
                fake_progress.Stopped, self.driver.reboot, spec,
                guest_spec.RebootType.SOFT, progress=asked)
            asked.path.write_bytes(asked.entry)

            guest.obeys = obeys
            self.config.config(
                group='libvirt', wait_soft_reboot_seconds=60 * obeys)
            self.restart()

            self.assertTrue(guest.active)
            self.assertNotEqual(before, guest.id)

    def test_one_that_cannot_be_started_again_is_told_of_once(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec, power_on=False)
        self.leave('reboot', uuid=spec.uuid, name=spec.name)
        self.hypervisor.fail_next('createWithFlags', FAILED)

        self.restart()

        self.assertFalse(self.hypervisor.guests[0].active)
        self.assertIn('stays stopped after an interrupted reboot',
                      self.log.output)
        self.driver.power_on(spec)

    def test_a_reboot_that_fails_leaves_nothing_to_finish(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        number = 0
        progress = fake_progress.FailingProgress(1)
        while number == 0 or progress.raised:
            number += 1
            progress = fake_progress.FailingProgress(number)
            with contextlib.suppress(fake_progress.Stopped):
                self.driver.reboot(
                    spec, guest_spec.RebootType.HARD, progress=progress)
            self.assertEqual([], self.remains_of_operations())

        self.assertGreater(number, 4)

    def test_an_interrupted_deletion_is_finished(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        self.leave('destroy', uuid=spec.uuid, name=spec.name,
                   destroy_disks=True)

        self.restart()

        self.assertEqual([], self.names())
        self.assertFalse(self.folder(spec).exists())

    def test_a_deletion_that_fails_does_not_happen_later(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        self.assertRaises(
            fake_progress.Stopped, self.driver.destroy, spec,
            progress=fake_progress.FailingProgress(1))

        self.restart()

        self.assertEqual(['one'], self.names())
        self.assertTrue((self.folder(spec) / 'disk').exists())

    def test_nor_does_one_that_failed_in_a_former_version(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        for phase in ('failed', 'files left'):
            entry = self.journal.begin(
                'destroy', uuid=spec.uuid, name=spec.name, destroy_disks=True)
            entry.advance(phase)
            entry.release()

            self.restart()

            self.assertEqual(['one'], self.names())

    def test_nor_does_one_of_which_no_failure_can_be_noted(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            self.assertRaises(fake_progress.Stopped, self.driver.destroy,
                              spec, progress=FullDisk())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        self.restart()

        self.assertEqual(['one'], self.names())
        self.assertTrue((self.folder(spec) / 'disk').exists())

    def test_files_of_which_the_domain_has_gone_follow_it(self) -> None:
        spec = self.guest()
        for number in (2, 3):
            self.driver.spawn(spec)
            self.assertRaises(
                fake_progress.Stopped, self.driver.destroy, spec,
                progress=fake_progress.FailingProgress(number))
            self.assertEqual([], self.names())

            self.restart()

            self.assertFalse(self.folder(spec).exists())

    def test_a_deletion_whose_reply_is_lost_is_finished(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        self.hypervisor.loses = 'undefine'

        self.assertRaises(
            exception.HypervisorUnavailable, self.driver.destroy, spec)
        fake_ports.wait_until(
            lambda: not self.remains_of_operations(), 'an empty journal')

        self.assertEqual([], self.names())
        self.assertFalse(self.folder(spec).exists())

    def test_a_domain_is_removed_of_which_nothing_was_heard(self) -> None:
        spec = self.guest()
        self.hypervisor.loses = 'define'

        self.assertRaises(
            exception.HypervisorUnavailable, self.driver.spawn, spec)
        fake_ports.wait_until(
            lambda: not self.remains_of_operations(), 'an empty journal')

        self.assertEqual([], self.names())
        self.assertFalse(self.folder(spec).exists())

    def test_a_new_guest_is_not_taken_for_the_old_one(self) -> None:
        spec = self.guest()
        self.leave('spawn', uuid=spec.uuid, name=spec.name)

        self.driver.spawn(spec)
        self.make_driver()

        self.assertEqual([], self.remains_of_operations())
        self.assertEqual(['one'], self.names())
