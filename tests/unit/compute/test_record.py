# SPDX-License-Identifier: Apache-2.0

"""The service record: whose word counts, and what reaches the disk."""

import datetime
import json
import os
import pathlib
import threading

import fixtures

from nova_libvirt_driver.compute import record
from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking
from tests import base

NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)
LOST = 'the connection is lost'
MAINTENANCE = 'new disks'

DOWN = ('driver', False, LOST)
UP = ('driver', True, '')
DISABLE = ('operator', False, MAINTENANCE)
ENABLE = ('operator', True, '')

HISTORIES = (
    # what happens, enabled, disabled by, reason
    ((), True, '', ''),
    ((UP,), True, '', ''),
    ((DOWN,), False, 'driver', LOST),
    ((DOWN, DOWN), False, 'driver', LOST),
    ((DOWN, UP), True, '', ''),
    ((DISABLE,), False, 'operator', MAINTENANCE),
    ((DISABLE, ENABLE), True, '', ''),
    # An operator disables before an outage ...
    ((DISABLE, DOWN), False, 'operator', MAINTENANCE),
    ((DISABLE, DOWN, UP), False, 'operator', MAINTENANCE),
    ((DISABLE, DOWN, UP, ENABLE), True, '', ''),
    # ... enables during it: the outage is still there ...
    ((DISABLE, DOWN, ENABLE), False, 'driver', LOST),
    ((DISABLE, DOWN, ENABLE, UP), True, '', ''),
    # ... disables during it ...
    ((DOWN, DISABLE), False, 'operator', MAINTENANCE),
    ((DOWN, DISABLE, UP), False, 'operator', MAINTENANCE),
    ((DOWN, DISABLE, ENABLE), False, 'driver', LOST),
    # ... or after it.
    ((DOWN, UP, DISABLE), False, 'operator', MAINTENANCE),
    ((DOWN, UP, DISABLE, UP), False, 'operator', MAINTENANCE),
    # Nobody has to say why.
    ((('operator', False, ''),), False, 'operator', record.NO_REASON),
    ((('driver', False, ''),), False, 'driver', record.NO_REASON),
)


class RecordTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.now = NOON
        self.file = self.open()

    def open(self, host: str = 'node1') -> record.ServiceRecordFile:
        return record.ServiceRecordFile(
            self.folder, host, clock=lambda: self.now)

    def apply(
            self, file: record.ServiceRecordFile,
            happening: tuple[str, bool, str]) -> None:
        who, enabled, reason = happening
        if who == 'operator':
            file.set_by_operator(enabled, reason)
        else:
            file.set_host_enabled(file.host, enabled=enabled, reason=reason)


class MarksTestCase(RecordTestCase):

    def test_each_history_ends_in_its_state(self) -> None:
        for number, (history, enabled, by, reason) in enumerate(HISTORIES):
            file = self.open(f'node{number}')

            for happening in history:
                self.apply(file, happening)

            found = file.load()
            self.assertEqual(
                (enabled, by, reason),
                (found.enabled, found.disabled_by, found.reason), str(history))

    def test_the_newest_reason_of_the_driver_is_kept(self) -> None:
        self.apply(self.file, DOWN)
        self.apply(self.file, ('driver', False, 'nobody listens'))

        self.assertEqual('nobody listens', self.file.load().reason)

    def test_hosts_have_records_of_their_own(self) -> None:
        self.file.set_host_enabled('node2', enabled=False, reason=LOST)

        self.assertTrue(self.file.load().enabled)
        self.assertFalse(self.open('node2').load().enabled)


class FileTestCase(RecordTestCase):

    def test_the_file_says_everything_in_json(self) -> None:
        self.apply(self.file, DOWN)

        with open(self.file.path, encoding='utf-8') as file:
            content = json.load(file)
        self.assertEqual(
            {'host': 'node1', 'enabled': False, 'reason': LOST,
             'disabled_by': 'driver', 'driver_reason': LOST,
             'operator_reason': '',
             'updated_at': '2026-01-02T12:00:00+00:00'}, content)

    def test_a_host_name_never_leaves_the_folder(self) -> None:
        file = self.open('../../etc/node')

        file.prepare()

        self.assertEqual(self.folder, os.path.dirname(file.path))
        self.assertTrue(os.path.exists(file.path))

    def test_saying_the_same_again_writes_nothing(self) -> None:
        self.apply(self.file, DOWN)
        before = os.stat(self.file.path)
        self.now += datetime.timedelta(hours=1)

        self.apply(self.file, DOWN)

        after = os.stat(self.file.path)
        self.assertEqual((before.st_ino, before.st_mtime_ns),
                         (after.st_ino, after.st_mtime_ns))

    def test_a_reader_sees_a_whole_record_at_any_time(self) -> None:
        self.apply(self.file, DISABLE)
        writer = threading.Thread(target=self._write_many)
        writer.start()
        seen = set()

        while writer.is_alive():
            seen.add(self.open().load().reason)

        writer.join()
        self.assertLessEqual(seen, {f'reason {n}' for n in range(50)}
                             | {MAINTENANCE})

    def _write_many(self) -> None:
        for number in range(50):
            self.open().set_by_operator(False, f'reason {number}')

    def test_writers_at_the_same_time_lose_nothing(self) -> None:
        threads = [
            threading.Thread(target=self.apply, args=(self.open(), what))
            for what in (DOWN, DISABLE) * 5]

        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        found = self.file.load()
        self.assertEqual((LOST, MAINTENANCE),
                         (found.driver_reason, found.operator_reason))

    def test_nothing_but_record_and_lock_stays_in_the_folder(self) -> None:
        for happening in (DOWN, UP, DISABLE):
            self.apply(self.file, happening)

        self.assertEqual(
            [locking.FOLDER, 'service-node1.json'],
            sorted(os.listdir(self.folder)))
        self.assertEqual(
            [], os.listdir(os.path.join(self.folder, locking.FOLDER)))

    def test_a_service_that_starts_waits_for_libvirt(self) -> None:
        self.file.prepare()
        self.assertEqual('driver', self.file.load().disabled_by)

        self.apply(self.file, UP)

        self.assertTrue(self.file.load().enabled)

    def test_everybody_may_read_the_record(self) -> None:
        self.file.prepare()

        self.assertEqual(0o644, os.stat(self.file.path).st_mode & 0o777)


class BadFileTestCase(RecordTestCase):

    BAD = ('', '{', '[]', '{"driver_reason": 1}', '\udc00', 'null')

    def test_a_file_without_sense_leaves_the_host_disabled(self) -> None:
        for bad in self.BAD:
            pathlib.Path(self.file.path).write_bytes(
                bad.encode('utf-8', 'surrogatepass'))

            found = self.file.load()

            self.assertFalse(found.enabled, bad)
            self.assertEqual('operator', found.disabled_by)
            self.assertIn('.corrupt', found.reason)

    def test_a_file_without_sense_is_kept_aside(self) -> None:
        pathlib.Path(self.file.path).write_text('{')

        self.file.prepare()

        aside = pathlib.Path(f'{self.file.path}.corrupt')
        self.assertEqual('{', aside.read_text())

    def test_an_operator_enables_the_host_after_that(self) -> None:
        pathlib.Path(self.file.path).write_text('{')
        self.apply(self.file, UP)
        self.assertFalse(self.file.load().enabled)

        self.apply(self.file, ENABLE)

        self.assertTrue(self.file.load().enabled)

    def test_the_driver_is_told_that_it_cannot_be_written(self) -> None:
        # A file where the folder should be: stops root too.
        path = os.path.join(self.folder, 'occupied')
        pathlib.Path(path).touch()
        file = record.ServiceRecordFile(path, 'node1')

        error = self.assertRaises(
            exception.StorageFailure, file.set_host_enabled, 'node1',
            enabled=False, reason=LOST)

        self.assertIn('cannot be written', str(error))
        self.assertIn(LOST, str(error))
        self.assertIn(path, error.next_step)

    def test_an_operator_is_told_that_it_cannot_be_written(self) -> None:
        path = os.path.join(self.folder, 'occupied')
        pathlib.Path(path).touch()
        file = record.ServiceRecordFile(path, 'node1')

        self.assertRaises(OSError, file.set_by_operator, False, 'x')

    def test_preparing_finds_out_that_the_folder_cannot_be_used(
            self) -> None:
        path = os.path.join(self.folder, 'occupied')
        pathlib.Path(path).touch()

        self.assertRaises(
            OSError, record.ServiceRecordFile(path, 'node1').prepare)
