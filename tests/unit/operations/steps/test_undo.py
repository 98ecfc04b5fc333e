# SPDX-License-Identifier: Apache-2.0

import fixtures

from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver.spec import instance as instance_spec
from tests import base
from tests import owners

INSTANCE = instance_spec.InstanceRef(
    '4c2a9a1e-7d7c-4a58-9f3e-2b1f6b1b7a11', 'one')


class UndoTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.done: list[str] = []

    def test_a_failure_undoes_the_steps_in_reverse(self) -> None:
        def fail() -> None:
            with undo_module.Undo('spawn', INSTANCE) as undo:
                undo.add('one', lambda: self.done.append('one'))
                undo.add('two', lambda: self.done.append('two'))
                raise ValueError('three')

        self.assertRaisesRegex(ValueError, 'three', fail)
        self.assertEqual(['two', 'one'], self.done)

    def test_what_is_committed_stays(self) -> None:
        with undo_module.Undo('spawn', INSTANCE) as undo:
            undo.add('one', lambda: self.done.append('one'))
            undo.commit()

        self.assertEqual([], self.done)

    def test_forgetting_to_commit_undoes(self) -> None:
        with undo_module.Undo('spawn', INSTANCE) as undo:
            undo.add('one', lambda: self.done.append('one'))

        self.assertEqual(['one'], self.done)

    def test_cleaning_up_happens_after_a_success_too(self) -> None:
        with undo_module.Undo('snapshot', INSTANCE) as undo:
            undo.add('one', lambda: self.done.append('one'))
            undo.finally_('two', lambda: self.done.append('two'))
            undo.commit()

        self.assertEqual(['two'], self.done)

    def test_a_failing_undo_neither_hides_nor_stops(self) -> None:
        def fail() -> None:
            with undo_module.Undo('spawn', INSTANCE) as undo:
                undo.add('one', lambda: self.done.append('one'))
                undo.add('burn the house', lambda: 1 / 0)
                raise ValueError('first')

        error = self.assertRaises(ValueError, fail)
        self.assertEqual(['one'], self.done)
        self.assertEqual(['could not burn the house: division by zero'],
                         error.__notes__)
        self.assertIn('could not burn the house', self.log.output)

    def test_the_journal_keeps_what_could_not_be_undone(self) -> None:
        journal = owners.journal(
            self.useFixture(fixtures.TempDir()).path)
        for name, function in (('good', lambda: 0), ('bad', lambda: 1 // 0)):
            instance = instance_spec.InstanceRef(name, name)
            with undo_module.Undo('spawn', instance) as undo:
                undo.begin(journal)
                undo.add('one', function)

        self.assertEqual({'bad'}, journal.subjects())
        with journal.left('bad') as [entry]:
            self.assertEqual('bad', entry.note.name)

    def test_being_told_to_end_undoes_too(self) -> None:
        def fail() -> None:
            with undo_module.Undo('spawn', INSTANCE) as undo:
                undo.add('one', lambda: self.done.append('one'))
                raise KeyboardInterrupt()

        self.assertRaises(KeyboardInterrupt, fail)
        self.assertEqual(['one'], self.done)
