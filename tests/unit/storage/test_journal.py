# SPDX-License-Identifier: Apache-2.0

import os
import pathlib
import signal
import stat
import subprocess
import sys

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage import journal as journal_module
from tests import base

UUID = '5b2d9d6f-6f4f-4b5c-8f2c-3f2a4f4c8f11'
CHILD = '''
import sys, time
from nova_libvirt_driver.storage import journal
entry = journal.Journal(sys.argv[1]).begin(
    'spawn', uuid=sys.argv[2], name='vm', folder='/s/1')
print('begun', flush=True)
time.sleep(600)
'''


class JournalTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.folder = pathlib.Path(self.root, '.operations')
        self.journal = journal_module.Journal(self.root)

    def _child(self) -> 'subprocess.Popen[bytes]':
        child = subprocess.Popen(
            [sys.executable, '-c', CHILD, self.root, UUID],
            stdout=subprocess.PIPE)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        assert child.stdout is not None
        self.addCleanup(child.stdout.close)
        self.assertEqual(b'begun\n', child.stdout.readline())
        return child

    def left(self) -> list[str]:
        """Return the verbs that nobody looks after any more."""
        with journal_module.Journal(self.root).left(UUID) as entries:
            return [entry.operation for entry in entries]

    def test_what_a_killed_process_left_is_found(self) -> None:
        child = self._child()
        self.assertEqual({UUID}, self.journal.subjects())
        self.assertEqual([], self.left())

        child.send_signal(signal.SIGKILL)
        child.wait()
        with self.journal.left(UUID) as [entry]:
            self.assertEqual(('spawn', UUID, 'vm', {'folder': '/s/1'}), (
                entry.operation, entry.uuid, entry.name, entry.values))
            entry.end()

        self.assertEqual([], os.listdir(self.folder))

    def test_only_one_gets_what_was_left(self) -> None:
        child = self._child()
        child.kill()
        child.wait()

        with self.journal.left(UUID) as entries:
            self.assertEqual(1, len(entries))
            self.assertEqual([], self.left())

        self.assertEqual(['spawn'], self.left())

    def test_what_is_left_is_let_go_after_an_error(self) -> None:
        for operation in ('rescue', 'snapshot'):
            self.journal.begin(operation, uuid=UUID, name='vm').release()

        def fail() -> None:
            with self.journal.left(UUID, 'rescue') as entries:
                self.assertEqual(1, len(entries))
                raise ValueError('no room')

        self.assertRaises(ValueError, fail)
        self.assertEqual(['rescue', 'snapshot'], sorted(self.left()))

    def test_entries_of_others_are_not_lent(self) -> None:
        self.journal.begin('rescue', uuid='other', name='vm').release()

        self.assertEqual([], self.left())
        self.assertEqual({'other'}, self.journal.subjects())

    def test_an_entry_is_not_abandoned_while_its_thread_lives(self) -> None:
        entry = self.journal.begin('snapshot', uuid=UUID, name='vm')

        self.assertEqual([], self.left())
        self.assertEqual(1, len(os.listdir(self.folder)))

        entry.end()
        entry.end()
        self.assertEqual([], os.listdir(self.folder))

    def test_an_entry_that_was_let_go_stays(self) -> None:
        self.journal.begin('rescue', uuid=UUID, name='vm').release()

        self.assertEqual(['rescue'], self.left())

    def test_damaged_entries_go(self) -> None:
        logged = self.useFixture(fixtures.FakeLogger())
        self.folder.mkdir()
        for number, text in enumerate(
                ('{"operation": "sp', '[]', '{"operation": "spawn"}')):
            (self.folder / f'{number}.json').write_text(text)

        self.assertEqual(set(), self.journal.subjects())

        self.assertEqual([], os.listdir(self.folder))
        self.assertEqual(3, logged.output.count('damaged'))

    def test_an_entry_that_is_just_begun_goes_without_a_word(self) -> None:
        logged = self.useFixture(fixtures.FakeLogger())
        self.folder.mkdir()
        (self.folder / '1.json').touch()

        self.assertEqual(set(), self.journal.subjects())

        self.assertEqual([], os.listdir(self.folder))
        self.assertEqual('', logged.output)

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
