# SPDX-License-Identifier: Apache-2.0

import dataclasses
import fcntl
import json
import os
import pathlib
import signal
import stat
from unittest import mock

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.storage import journal as journal_module
from tests import base
from tests import children
from tests import owners

UUID = '5b2d9d6f-6f4f-4b5c-8f2c-3f2a4f4c8f11'
CHILD = '''
import sys, time
from tests import owners
entry = owners.journal(sys.argv[1]).begin(
    'spawn', uuid=sys.argv[2], name='vm', folder='/s/1')
print('begun', flush=True)
time.sleep(600)
'''


class JournalTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.folder = pathlib.Path(self.root, '.operations')
        self.journal = owners.journal(self.root)

    def left(self) -> list[str]:
        """Return the verbs that nobody looks after any more."""
        with owners.journal(self.root).left(UUID) as entries:
            return [entry.note.operation for entry in entries]

    def test_what_a_killed_process_left_is_found(self) -> None:
        child = children.begun(self, CHILD, self.root, UUID)
        self.assertEqual({UUID}, self.journal.subjects())
        self.assertRaises(exception.WrongState, self.left)

        child.send_signal(signal.SIGKILL)
        child.wait()
        with self.journal.left(UUID) as [entry]:
            self.assertEqual(('spawn', UUID, 'vm', {'folder': '/s/1'}), (
                entry.note.operation, entry.note.uuid, entry.note.name,
                entry.note.values))
            self.assertEqual(owners.HERE, entry.note.owner)
            entry.end()

        self.assertEqual([], os.listdir(self.folder))

    def test_only_one_gets_what_was_left(self) -> None:
        child = children.begun(self, CHILD, self.root, UUID)
        child.kill()
        child.wait()

        with self.journal.left(UUID) as entries:
            self.assertEqual(1, len(entries))
            self.assertRaises(exception.WrongState, self.left)

        self.assertEqual(['spawn'], self.left())

    def test_what_is_left_is_let_go_after_an_error(self) -> None:
        for operation in ('rescue', 'snapshot'):
            self.journal.begin(operation, uuid=UUID, name='vm').release()

        def fail() -> None:
            with self.journal.left(UUID) as entries:
                self.assertEqual(2, len(entries))
                raise ValueError('no room')

        self.assertRaises(ValueError, fail)
        self.assertEqual(['rescue', 'snapshot'], sorted(self.left()))

    def test_entries_of_others_are_not_lent(self) -> None:
        self.journal.begin('rescue', uuid='other', name='vm').release()

        self.assertEqual([], self.left())
        self.assertEqual({'other'}, self.journal.subjects())

    def test_an_entry_is_not_abandoned_while_its_thread_lives(self) -> None:
        entry = self.journal.begin('snapshot', uuid=UUID, name='vm')

        self.assertRaises(exception.WrongState, self.left)
        self.assertEqual(1, len(os.listdir(self.folder)))

        entry.end()
        entry.end()
        self.assertEqual([], os.listdir(self.folder))

    def test_the_end_of_an_entry_is_on_the_disk(self) -> None:
        entry = self.journal.begin('snapshot', uuid=UUID, name='vm')

        with mock.patch.object(os, 'fsync', wraps=os.fsync) as fsync:
            entry.end()

        self.assertEqual(1, fsync.call_count)

    def test_one_for_this_boot_waits_for_no_disk(self) -> None:
        with mock.patch.object(
                os, 'fsync', autospec=True) as fsync:
            entry = self._for_this_boot()
            entry.advance('half')
            entry.release()
            with self.journal.left(UUID) as [found]:
                self.assertEqual('half', found.note.phase)
                found.end()

        fsync.assert_not_called()
        self.assertEqual([], os.listdir(self.folder))

    def test_it_is_seen_that_one_was_for_a_former_boot(self) -> None:
        self._for_this_boot().release()
        self.journal.begin('spawn', uuid=UUID, name='vm').release()
        self.assertEqual([False, False], [
            note.is_over for note in self.journal.notes()])

        for path in self.folder.iterdir():
            path.write_text(path.read_text().replace(
                records.boot_id(), 'of a former boot'))

        self.assertEqual({'attach': True, 'spawn': False}, {
            note.operation: note.is_over for note in self.journal.notes()})

    def test_a_loss_of_power_leaves_nothing_that_cannot_be_read(
            self) -> None:
        self._for_this_boot().release()
        path, = self.folder.iterdir()
        path.write_bytes(b'')

        self.assertEqual([], self.left())
        self.assertEqual([], self.journal.unreadable())
        self.journal.sweep()

        self.assertEqual([], os.listdir(self.folder))

    def _for_this_boot(self) -> journal_module.Entry:
        return self.journal.begin(
            'attach', uuid=UUID, name='vm', lasting=False)

    def test_one_that_cannot_be_read_is_not_taken_for_ended(self) -> None:
        self.folder.mkdir()
        for host in ('here', 'there'):
            (self.folder / f'{UUID}.1@{host}.json').mkdir()

        for look in (self.left, lambda: self.journal.foreign(UUID),
                     lambda: self.journal.supersede(UUID)):
            self.assertRaisesRegex(
                exception.StorageFailure, f'cannot read .*{UUID}', look)
        self.assertEqual([], self.journal.foreign('other'))

    def test_an_entry_that_was_let_go_stays(self) -> None:
        self.journal.begin('rescue', uuid=UUID, name='vm').release()

        self.assertEqual(['rescue'], self.left())

    def test_a_damaged_entry_costs_itself_only(self) -> None:
        self.folder.mkdir()
        for number, text in enumerate((
                '', '{"operation": "sp', '[]', '{"operation": "spawn"}',
                '{"operation": "spawn", "uuid": "u", "name": "n", '
                '"values": {}, "owner": 5}',
                '{"operation": "spawn", "uuid": "u", "name": "n", '
                f'"values": {{}}, "begun_at": 1{"0" * 400}}}')):
            (self.folder / f'{number}.json').write_text(text)
        self.journal.begin('rescue', uuid=UUID, name='vm').release()

        self.assertEqual({UUID}, self.journal.subjects())
        self.assertEqual(1, len(self.journal.notes()))
        self.assertEqual(['rescue'], self.left())

        # It may be of another host's, which is about to read it again.
        self.assertEqual(7, len(os.listdir(self.folder)))
        self.assertEqual(
            [str(self.folder / f'{number}.json') for number in range(6)],
            self.journal.unreadable())

    def test_what_a_process_died_writing_goes(self) -> None:
        self.folder.mkdir()
        for host in ('here', 'there'):
            (self.folder / f'{UUID}.1@{host}.json.new').touch()
        entry = self.journal.begin('rescue', uuid=UUID, name='vm')
        self.addCleanup(entry.end)

        self.journal.sweep()

        self.assertEqual([f'{UUID}.1@there.json.new'], [
            name for name in os.listdir(self.folder)
            if not name.endswith('json')])

    def test_what_a_process_died_writing_is_not_written_over(self) -> None:
        entry = self.journal.begin('rescue', uuid=UUID, name='vm')
        self.addCleanup(entry.end)
        path, = self.folder.iterdir()
        path.with_name(f'{path.name}.new').write_text('x' * 4000)

        entry.advance('far')

        self.assertEqual(
            ['far'], [note.phase for note in self.journal.notes()])

    def test_locks_of_instances_are_no_entries(self) -> None:
        self.folder.mkdir()
        (self.folder / f'{UUID}.lock').touch()
        (self.folder / f'{UUID}.cancel').touch()

        self.assertEqual(set(), self.journal.subjects())

        self.assertEqual(2, len(os.listdir(self.folder)))

    def test_a_link_is_no_entry(self) -> None:
        outside = pathlib.Path(self.root, 'outside')
        outside.touch()
        self.folder.mkdir()
        (self.folder / 'a.json').symlink_to(outside)

        self.assertEqual(set(), self.journal.subjects())

        self.assertTrue(outside.exists())

    def test_a_folder_that_cannot_be_made_is_told(self) -> None:
        pathlib.Path(self.root, '.operations').touch()

        error = self.assertRaises(
            exception.StorageFailure, self.journal.begin, 'spawn',
            uuid=UUID, name='vm')

        self.assertIn('.operations', error.next_step)

    def test_others_on_the_host_may_not_look_in(self) -> None:
        entry = self.journal.begin('spawn', uuid=UUID, name='vm')
        self.addCleanup(entry.end)

        for path in (self.folder, *self.folder.iterdir()):
            self.assertEqual(
                0, stat.S_IMODE(os.stat(path).st_mode) & 0o007)

    def test_how_far_it_is_survives_its_process(self) -> None:
        entry = self.journal.begin('move', uuid=UUID, name='vm', disk='a')

        entry.advance('copied', size=5)
        self.assertRaises(exception.WrongState, self.left)
        entry.release()

        with self.journal.left(UUID) as [left]:
            self.assertEqual(('copied', {'disk': 'a', 'size': 5}, False), (
                left.note.phase, left.note.values, left.note.is_open))
        self.assertEqual(1, len(os.listdir(self.folder)))

    def test_what_stays_open_is_picked_up_in_time_only(self) -> None:
        for timeout_s in (0, 600):
            self.journal.begin('move', uuid=UUID, name='vm').leave_open(
                f'waits {timeout_s}', timeout_s)

        with self.journal.picked_up(UUID, 'move') as entry:
            self.assertEqual('waits 600', entry.note.phase)
            entry.end()
        self.assertRaises(
            exception.WrongState,
            self.journal.picked_up(UUID, 'move').__enter__)

    def test_what_is_picked_up_stays_open_after_an_error(self) -> None:
        self.journal.begin('move', uuid=UUID, name='vm').leave_open('p', 600)

        def fail() -> None:
            with self.journal.picked_up(UUID, 'move'):
                raise ValueError()

        self.assertRaises(ValueError, fail)
        note, = self.journal.notes()
        self.assertTrue(note.is_open)


class OwnerTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.folder = pathlib.Path(self.root, '.operations')
        self.here = owners.journal(self.root)

    def leave(self, owner: journal_module.Owner) -> None:
        owners.journal(self.root, owner).begin(
            'spawn', uuid=UUID, name='vm').release()

    def left(self, owner: journal_module.Owner) -> int:
        with owners.journal(self.root, owner).left(UUID) as entries:
            return len(entries)

    def test_an_entry_is_lent_to_its_owner_only(self) -> None:
        others = [
            dataclasses.replace(owners.HERE, **{field: 'other'})
            for field in ('host', 'uri', 'host_uuid')]
        self.leave(owners.HERE)

        self.assertEqual([0, 0, 0], [self.left(one) for one in others])
        self.assertEqual(1, self.left(owners.HERE))

    def test_that_of_another_host_is_not_even_looked_into(self) -> None:
        self.leave(owners.THERE)
        path, = self.folder.iterdir()

        with open(path, 'rb') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertEqual(set(), self.here.subjects())
            self.assertEqual([owners.THERE], [
                note.owner for note in self.here.foreign(UUID)])

    def test_names_of_hosts_make_no_paths(self) -> None:
        evil = journal_module.Owner('../@a b%', 'fake:///', '')
        self.leave(evil)

        self.assertEqual(1, len(os.listdir(self.folder)))
        self.assertEqual((1, 0), (self.left(evil), self.left(owners.HERE)))

    def test_what_names_no_owner_may_be_ours(self) -> None:
        self.folder.mkdir()
        (self.folder / f'{"a" * 32}.json').write_text(json.dumps({
            'operation': 'spawn', 'uuid': UUID, 'name': 'vm', 'values': {}}))

        self.assertEqual({UUID}, self.here.subjects())
        with self.here.left(UUID) as [entry]:
            self.assertIsNone(entry.note.owner)
            self.assertLess(entry.note.age_s, 600)

    def test_who_lost_the_instance_is_told(self) -> None:
        self.leave(owners.THERE)

        self.here.supersede(UUID)

        self.assertEqual([], self.here.foreign(UUID))
        with owners.journal(self.root, owners.THERE).left(UUID) as [entry]:
            self.assertEqual(owners.HERE, entry.note.superseded_by)
            self.assertEqual('spawn', entry.note.operation)

    def test_who_goes_on_does_not_forget_that(self) -> None:
        entry = owners.journal(self.root, owners.THERE).begin(
            'spawn', uuid=UUID, name='vm')
        self.addCleanup(entry.end)
        self.here.supersede(UUID)

        entry.advance('far')

        self.assertEqual([owners.HERE], [
            note.superseded_by for note in self.here.notes()])

    def test_own_entries_are_not_superseded(self) -> None:
        self.leave(owners.HERE)

        self.here.supersede(UUID)

        with self.here.left(UUID) as [entry]:
            self.assertIsNone(entry.note.superseded_by)

    def test_libvirt_is_not_asked_without_an_entry(self) -> None:
        def ask() -> tuple[str, str]:
            raise ValueError('asked')

        journal = journal_module.Journal(self.root, 'here', ask)
        self.leave(owners.THERE)

        self.assertEqual(set(), journal.subjects())
        with journal.left(UUID) as entries:
            self.assertEqual([], entries)

    def test_an_operator_gets_what_is_another_hosts(self) -> None:
        self.leave(owners.THERE)
        note, = self.here.notes()

        with self.here.left(UUID, note.id, foreign=True) as [entry]:
            entry.end()

        self.assertEqual([], self.here.notes())
