# SPDX-License-Identifier: Apache-2.0

"""Other hosts, and other libvirts, that share the folder of instances."""

import dataclasses
import json
import os
import pathlib
import resource
import shutil

from typing import Any

import fixtures

from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress
from tests import owners
from tests.unit.operations import whole


class Late(fake_progress.RecordingProgress):
    """Has another host make the folder just before a verb makes it."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__()
        self._folder = folder

    def step(self, name: str) -> None:
        super().step(name)
        if name == 'folder':
            self._folder.mkdir()


class NoRoom(fake_progress.RecordingProgress):
    """Leaves no room for a longer entry while the domain goes."""

    def step(self, name: str) -> None:
        super().step(name)
        if name == 'domain':
            _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))


class OwnerTest(whole.WholeTestCase):
    """Another host, or another libvirt, shares the folder of instances."""

    loses_now = False
    """Whether the instance is lost in the middle of a clean-up."""

    def setUp(self) -> None:
        super().setUp()
        self.there = owners.journal(self.instances_path, owners.THERE)
        self.spec = self.guest()

    def leave(self, journal: journal_module.Journal, operation: str,
              **values: Any) -> None:
        journal.begin(operation, uuid=self.spec.uuid, name=self.spec.name,
                      **values).release()

    def attachments_of(
            self, instance: instance_spec.Instance) -> ports.Attachments:
        if self.loses_now:
            self.there.supersede(instance.uuid)
        return ()

    def start(self) -> None:
        """Start another driver, and wait until it has looked."""
        swept = pathlib.Path(self.journal.folder, f'{"a" * 8}@here.lock')
        swept.touch()
        self.make_driver()
        fake_ports.wait_until(
            lambda: not swept.exists(), 'the end of the first look')

    def leave_legacy(self, operation: str, **values: object) -> None:
        """Leave an entry as former versions wrote it."""
        folder = pathlib.Path(self.journal.folder)
        folder.mkdir(exist_ok=True)
        (folder / f'{"a" * 32}.json').write_text(json.dumps({
            'operation': operation, 'uuid': self.spec.uuid,
            'name': self.spec.name, 'values': values}))

    def test_another_hosts_operations_are_left_alone(self) -> None:
        self.driver.spawn(self.spec)
        self.driver.rescue(self.spec, self.image.id)
        for other in (
                owners.THERE,
                dataclasses.replace(owners.HERE, uri='test:///default'),
                dataclasses.replace(owners.HERE, host_uuid='other')):
            journal = owners.journal(self.instances_path, other)
            self.leave(journal, 'spawn')
            self.leave(journal, 'rescue', was_up=True)
            self.leave(journal, 'snapshot', folder='/', target_dev='vda')
        before = self.remains()

        self.start()
        self.driver.unrescue(self.spec)

        self.assertEqual(['one'], self.names())
        self.assertEqual({'disk.rescue', 'unrescue.xml'}, {
            os.path.basename(path)
            for path in set(before) - set(self.remains())})
        self.assertEqual(9, len(self.journal.notes()))

    def test_a_uuid_that_libvirt_makes_up_is_not_another_host(self) -> None:
        # An embedded hypervisor has another one at each start.
        self.hypervisor.capabilities = (
            '<capabilities><host><uuid>3f9d2c5e-7a61-4a0a-9b1d-5a4a3d9b6c10'
            '</uuid></host></capabilities>')
        os.mkdir(self.folder(self.spec))
        self.leave(self.journal, 'spawn')

        self.start()

        self.assertEqual([], self.journal.notes())

    def test_libvirt_is_asked_once_who_the_host_is(self) -> None:
        self.driver.spawn(self.spec)

        self.assertNotIn('getCapabilities', self.calls_of(
            lambda: self.driver.spawn(self.guest('two'))))

    def test_the_files_of_another_hosts_guest_stay(self) -> None:
        os.mkdir(self.folder(self.spec))
        self.leave(self.there, 'spawn')

        self.driver.destroy(self.spec)
        # As a periodic task of Nova asks for later on.
        gone = self.driver.delete_instance_files(self.spec)

        self.assertFalse(gone)
        self.assertTrue(self.folder(self.spec).exists())
        self.assertEqual(1, len(self.there.notes()))

    def test_files_that_had_to_stay_follow_when_they_may(self) -> None:
        self.driver.spawn(self.spec)
        self.leave(self.there, 'reboot')

        self.driver.destroy(self.spec)
        self.driver.destroy(self.spec)
        self.assertEqual([], self.names())
        self.assertTrue((self.folder(self.spec) / 'disk').exists())
        with self.there.left(self.spec.uuid) as [entry]:
            entry.end()
        self.start()

        self.assertFalse(self.folder(self.spec).exists())
        self.assertEqual([], self.journal.notes())

    def test_files_of_a_deletion_that_failed_wait_for_another_host(
            self) -> None:
        self.driver.spawn(self.spec)
        self.assertRaises(
            fake_progress.Stopped, self.driver.destroy, self.spec,
            progress=fake_progress.FailingProgress(2))
        self.leave(self.there, 'reboot')

        self.start()
        self.assertEqual([], self.names())
        self.assertTrue((self.folder(self.spec) / 'disk').exists())
        with self.there.left(self.spec.uuid) as [entry]:
            entry.end()
        self.start()

        self.assertFalse(self.folder(self.spec).exists())
        self.assertEqual([], self.journal.notes())

    def test_files_that_had_to_stay_do_so_where_the_guest_is_again(
            self) -> None:
        self.driver.spawn(self.spec)
        self.leave(self.there, 'reboot')
        self.driver.destroy(self.spec)
        shutil.rmtree(self.folder(self.spec))

        self.driver.spawn(self.spec)
        self.start()

        self.assertEqual(['one'], self.names())
        self.assertTrue((self.folder(self.spec) / 'disk').exists())

    def test_who_cannot_note_that_files_stay_disconnects_all_the_same(
            self) -> None:
        port = fake_attachment.FakeAttachment(
            os.path.join(self.useFixture(fixtures.TempDir()).path, 'port'))
        self.driver.spawn(self.spec, attachments=[port])
        self.leave(self.there, 'reboot')
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            self.assertRaises(
                exception.StorageFailure, self.driver.destroy, self.spec,
                attachments=[port], progress=NoRoom())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        self.assertFalse(port.is_connected)
        self.assertTrue(self.folder(self.spec).exists())

    def test_an_operator_ends_a_deletion_of_a_lost_host(self) -> None:
        os.mkdir(self.folder(self.spec))
        self.leave(self.there, 'destroy', destroy_disks=True)
        note, = self.journal.notes()

        self.driver.clean_up_operation(self.spec.uuid, note.id, force=True)

        self.assertFalse(self.folder(self.spec).exists())
        self.assertEqual([], self.journal.notes())

    def test_who_spawns_is_told_where_the_folder_comes_from(self) -> None:
        os.mkdir(self.folder(self.spec))
        self.leave(self.there, 'spawn')

        error = self.assertRaises(
            exception.InstanceExists, self.driver.spawn, self.spec)

        self.assertIn('interrupted on host there', error.next_step)
        self.assertTrue(self.folder(self.spec).exists())

    def test_who_has_lost_the_instance_leaves_its_files_alone(self) -> None:
        self.leave(self.there, 'spawn')
        self.driver.spawn(self.spec)
        here = sorted(self.remains())

        self.config.config(host='there')
        other = driver_module.LibvirtDriver(
            fake_ports.virt_api(images=self.images))
        self.addCleanup(other.cleanup_host, 'there')
        other.init_host('there')
        fake_ports.wait_until(
            lambda: not os.listdir(self.journal.folder), 'an empty journal')

        # They share one hypervisor here: the domain is what it removes.
        self.assertEqual([], self.names())
        self.assertEqual(
            {path for path in here if self.spec.uuid in path
             and 'operations' not in path}, set(self.remains()))

    def test_who_loses_it_only_now_leaves_its_files_alone(self) -> None:
        self.loses_now = True
        for operation, values in (
                ('spawn', {}), ('destroy', {'destroy_disks': True})):
            self.driver.spawn(self.spec)
            self.leave(self.journal, operation, **values)
            self.start()

            self.assertEqual([], self.names())
            self.assertEqual([], self.journal.notes())
            self.assertTrue((self.folder(self.spec) / 'disk').exists())
            shutil.rmtree(self.folder(self.spec))

    def test_who_is_too_late_supersedes_nothing(self) -> None:
        self.leave(self.there, 'spawn')

        self.assertRaises(
            exception.StorageFailure, self.driver.spawn, self.spec,
            progress=Late(self.folder(self.spec)))

        self.assertEqual([(owners.THERE, None)], [
            (note.owner, note.superseded_by)
            for note in self.journal.notes()])

    def test_who_has_lost_the_instance_removes_the_copy(self) -> None:
        self.leave(
            self.journal, 'snapshot', folder='a' * 32, target_dev='vda')
        self.there.supersede(self.spec.uuid)
        folder = pathlib.Path(self.instances_path, 'snapshots', 'a' * 32)
        folder.mkdir(parents=True)

        self.start()

        self.assertFalse(folder.exists())
        self.assertEqual([], self.journal.notes())

    def test_who_has_made_no_folder_removes_none(self) -> None:
        for has_files in (True, False):
            self.folder(self.spec).mkdir()
            if has_files:
                (self.folder(self.spec) / 'disk').touch()
            self.leave(self.journal, 'spawn', has_folder=False)
            self.start()

            self.assertEqual([], self.journal.notes())
            self.assertEqual(has_files, self.folder(self.spec).exists())
            shutil.rmtree(self.folder(self.spec), ignore_errors=True)

    def test_an_operator_ends_what_a_lost_host_has_left(self) -> None:
        self.driver.spawn(self.spec)
        self.leave(self.there, 'spawn')
        note, = self.journal.notes()

        self.driver.clean_up_operation(
            self.spec.uuid, note.id, force=False)
        self.assertEqual([note], self.journal.notes())
        self.driver.clean_up_operation(self.spec.uuid, note.id, force=True)

        self.assertEqual([], self.names())
        self.assertFalse(self.folder(self.spec).exists())
        self.assertEqual([], self.journal.notes())

    def test_what_names_no_owner_is_ours_where_the_domain_is(self) -> None:
        self.driver.spawn(self.spec)
        self.leave_legacy('spawn')

        self.start()
        fake_ports.wait_until(
            lambda: not self.journal.notes(), 'an empty journal')

        self.assertEqual([], self.names())

    def test_what_names_no_owner_is_left_without_a_domain(self) -> None:
        os.mkdir(self.folder(self.spec))
        self.leave_legacy('spawn')

        self.start()

        self.assertTrue(self.folder(self.spec).exists())
        self.assertEqual(1, len(self.journal.notes()))

    def test_what_names_no_owner_does_not_undo_a_later_spawn(self) -> None:
        self.leave_legacy('spawn')
        self.driver.spawn(self.spec)

        self.start()

        self.assertEqual(['one'], self.names())
        self.assertTrue((self.folder(self.spec) / 'disk').exists())
        self.driver.destroy(self.spec)
        self.assertFalse(self.folder(self.spec).exists())
