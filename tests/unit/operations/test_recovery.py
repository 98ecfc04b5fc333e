# SPDX-License-Identifier: Apache-2.0

"""What is left by processes that were killed, as the journal tells it."""

import os

from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_guest
from nova_libvirt_driver.testing import fake_ports
from tests.unit.operations import whole


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
        spec = self.guest()
        self.driver.spawn(spec)
        folder = os.path.join(self.instances_path, 'snapshots', 'a' * 32)
        os.makedirs(folder)
        guest, = self.hypervisor.guests
        guest.jobs['vda'] = fake_guest.BlockJob(f'{folder}/copy')
        self.leave('snapshot', uuid=spec.uuid, name=spec.name,
                   folder=folder, target_dev='vda')

        self.restart()

        self.assertFalse(os.path.exists(folder))
        self.assertEqual({}, guest.jobs)
        self.assertEqual(['one'], self.names())

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

    def test_a_new_rescue_is_not_taken_for_the_old_one(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        self.leave('rescue', uuid=spec.uuid, name=spec.name, was_up=True)

        self.driver.rescue(spec, self.image.id)

        self.assertFalse(self.journal.mentions(spec.uuid))

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
