# SPDX-License-Identifier: Apache-2.0

"""Commands about operations that are under way, or were interrupted."""

from nova_libvirt_driver.storage import journal as journal_module
from tests import owners
from tests.unit.cli import base

UUID = '8b0c0b9e-1d1c-4b4f-8a53-0f1a2c6f7e01'
HERE = journal_module.Owner(base.HOST, 'fake:///', '')


class OperationsTest(base.ServerTestCase):

    def begin(self, owner: journal_module.Owner,
              operation: str) -> journal_module.Entry:
        journal = owners.journal(str(self.folder / 'instances'), owner)
        entry = journal.begin(operation, uuid=UUID, name='one')
        self.addCleanup(entry.release)
        return entry

    def test_all_are_listed_with_owner_and_state(self) -> None:
        self.begin(HERE, 'rescue')
        self.begin(HERE, 'spawn').release()
        self.begin(owners.THERE, 'snapshot').release()
        self.begin(HERE, 'move').leave_open('prepared', 600, hint='look')
        self.begin(HERE, 'move').leave_open('prepared', 0, hint='once')

        rows = self.answer('operations', 'list')

        self.assertEqual([
            ('rescue', 'under way', 'h1'),
            ('spawn', 'interrupted', 'h1'),
            ('snapshot', 'elsewhere', 'there'),
            ('move', 'open', 'h1'), ('move', 'interrupted', 'h1')],
            [(row['Operation'], row['State'], row['Owner']['host'])
             for row in rows])
        self.assertEqual(
            ['', '', '', 'look', ''], [row['Hint'] for row in rows])
        self.assertEqual({UUID}, {row['Server ID'] for row in rows})

    def test_one_is_cleaned_by_the_beginning_of_its_id(self) -> None:
        other = self.begin(owners.THERE, 'spawn')
        other.release()

        result = self.type(
            'operations', 'clean', other.note.id[:8], '--force', '--yes')

        # The driver in memory does nothing about it.
        self.assertEqual(4, result.code)
        self.assertIn('of host there', result.stderr)
        call, = self.driver.verbs
        self.assertEqual(
            ('clean_up_operation', other.note.id, {'force': True}),
            (call.verb, call.instance, call.arguments))

    def test_force_is_confirmed(self) -> None:
        entry = self.begin(owners.THERE, 'spawn')

        result = self.type('operations', 'clean', entry.note.id, '--force')

        self.assertEqual(2, result.code)
        self.assertEqual([], self.driver.verbs)

    def test_one_that_is_not_there_is_not_found(self) -> None:
        self.assertEqual(3, self.type('operations', 'clean', 'abcd').code)
