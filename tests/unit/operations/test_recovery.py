# SPDX-License-Identifier: Apache-2.0

"""What is left by processes that were killed, as the journal tells it."""

import logging
import os

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


class RecoveryTest(whole.WholeTestCase):

    def leave(self, operation: str, **values: object) -> None:
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

    def test_an_instance_that_is_busy_is_not_cleaned(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        self.leave('rescue', uuid=spec.uuid, name=spec.name, was_up=True)
        log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        with exclusive.Exclusive(self.instances_path).hold(
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

    def test_a_new_guest_is_not_taken_for_the_old_one(self) -> None:
        spec = self.guest()
        self.leave('spawn', uuid=spec.uuid, name=spec.name)

        self.driver.spawn(spec)
        self.make_driver()

        self.assertEqual([], self.remains_of_operations())
        self.assertEqual(['one'], self.names())

    def test_a_guest_that_is_being_cleaned_up_cannot_be_made(self) -> None:
        spec = self.guest()
        entry = self.journal.begin('spawn', uuid=spec.uuid, name=spec.name)
        self.addCleanup(entry.end)

        error = self.assertRaises(
            exception.WrongState, self.driver.spawn, spec)

        self.assertIn('cleaned up', str(error))
        self.assertEqual([], self.names())
