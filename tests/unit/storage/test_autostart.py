# SPDX-License-Identifier: Apache-2.0

"""Which guests are to run by themselves, and when one is due."""

import pathlib

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import autostart
from nova_libvirt_driver.storage import folder
from tests import base

REF = instance_spec.InstanceRef(
    '5d1f7f5c-6b1e-4d8a-9c41-2f6f5e0a7b11', 'web1')


class AutostartTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        path = self.useFixture(fixtures.TempDir()).path
        self.folders = folder.Folders(path, lambda: None)
        self.autostart = autostart.Autostart(self.folders)
        self.folders.of(REF).create()
        self.mark = pathlib.Path(self.folders.of(REF).autostart)

    def test_one_without_the_mark_is_never_due(self) -> None:
        for note in (self.autostart.started, self.autostart.stopped):
            note(REF)

            self.assertFalse(self.autostart.is_due(REF))
        self.assertFalse(self.mark.exists())

    def test_one_with_the_mark_is_due_unless_it_was_stopped(self) -> None:
        self.autostart.set(REF, enabled=True)
        due = [self.autostart.is_due(REF)]
        for note in (self.autostart.stopped, self.autostart.started,
                     self.autostart.stopped):
            note(REF)
            due.append(self.autostart.is_due(REF))

        self.assertEqual([True, False, True, False], due)

    def test_one_that_was_lost_is_due_unless_it_was_stopped(self) -> None:
        self.autostart.set(REF, enabled=True)
        said = []
        for note in (self.autostart.lost, self.autostart.started,
                     self.autostart.stopped, self.autostart.lost):
            note(REF)
            said.append((self.autostart.is_lost(REF),
                         self.autostart.is_due(REF)))

        self.assertEqual([
            (True, True), (False, True), (False, False), (False, False)],
            said)

    def test_after_a_boot_it_is_due_all_the_same(self) -> None:
        self.mark.write_text('that of another boot')

        self.assertTrue(self.autostart.is_due(REF))

    def test_the_mark_can_be_taken_away_again(self) -> None:
        self.autostart.set(REF, enabled=True)
        for _ in range(2):
            self.autostart.set(REF, enabled=False)

            self.assertFalse(self.autostart.is_set(REF))

    def test_marking_it_again_does_not_start_it(self) -> None:
        self.autostart.set(REF, enabled=True)
        self.autostart.stopped(REF)

        self.autostart.set(REF, enabled=True)

        self.assertFalse(self.autostart.is_due(REF))

    def test_one_without_files_cannot_be_marked(self) -> None:
        self.folders.of(REF).remove()

        self.assertRaises(
            exception.StorageFailure, self.autostart.set, REF, enabled=True)

    def test_a_mark_that_is_no_file_is_none(self) -> None:
        self.mark.mkdir()

        self.assertFalse(self.autostart.is_due(REF))
