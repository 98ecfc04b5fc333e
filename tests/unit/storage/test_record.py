# SPDX-License-Identifier: Apache-2.0

from concurrent import futures
import json
import os
import pathlib
import stat
import subprocess
import sys

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage import record
from tests import base


WRITER = '''
import sys
from nova_libvirt_driver.storage import record
for disk in sys.argv[2:]:
    record.write(sys.argv[1], disk, 'raw')
'''


class RecordTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = str(self.folder / 'disk.info')

    def test_it_is_the_record_of_novas_own_driver(self) -> None:
        record.write(self.path, '/i/disk', 'qcow2')
        record.write(self.path, '/i/disk.swap', 'raw')

        self.assertEqual(
            {'/i/disk': 'qcow2', '/i/disk.swap': 'raw'},
            json.loads(pathlib.Path(self.path).read_text()))
        self.assertEqual(
            0o640, stat.S_IMODE(os.stat(self.path).st_mode))
        self.assertEqual(['disk.info'], os.listdir(self.folder))

    def test_what_is_written_is_read(self) -> None:
        record.write(self.path, '/i/disk', 'raw')
        record.write(self.path, '/i/disk', 'qcow2')

        self.assertEqual('qcow2', record.read(self.path, '/i/disk'))
        self.assertEqual({'/i/disk': 'qcow2'}, record.read_all(self.path))

    def test_of_a_folder_that_was_moved_it_says_where_the_disks_are(
            self) -> None:
        record.write(self.path, f'/gone/{self.folder.name}/disk', 'raw')
        record.write(self.path, '/gone/another/disk', 'raw')

        self.assertEqual(
            {str(self.folder / 'disk'): 'raw', '/gone/another/disk': 'raw'},
            record.read_all(self.path))

    def test_a_record_that_is_nested_without_end_is_refused(self) -> None:
        pathlib.Path(self.path).write_text('[' * 100000 + ']' * 100000)

        self.assertRaises(
            exception.StorageFailure, record.read_all, self.path)

    def test_a_disk_without_a_record_is_not_looked_at(self) -> None:
        disk = self.folder / 'disk'
        disk.write_bytes(b'QFI\xfb\0\0\0\3')

        error = self.assertRaises(
            exception.StorageFailure, record.read, self.path, str(disk))

        self.assertIn(str(disk), str(error))
        self.assertFalse(os.path.exists(self.path))

    def test_a_damaged_record_is_neither_read_nor_replaced(self) -> None:
        for damaged in ('', '{', '[]', '{"/i/disk": 3}',
                        '{"/i/disk": "raw,backing=/etc/passwd"}', '\xff'):
            pathlib.Path(self.path).write_text(damaged, 'latin-1')

            self.assertRaises(
                exception.StorageFailure, record.read, self.path, '/i/disk')
            self.assertRaises(
                exception.StorageFailure, record.write, self.path,
                '/i/disk', 'raw')

            self.assertEqual(
                damaged, pathlib.Path(self.path).read_text('latin-1'))

    def test_what_is_no_format_is_not_written_down(self) -> None:
        for path, format in (('/i/disk', ''), ('/i/disk', 'raw,x=y'),
                             ('/i/disk', 'raw\n'), ('disk', 'raw')):
            self.assertRaises(
                ValueError, record.write, self.path, path, format)
        self.assertFalse(os.path.exists(self.path))

    def test_forgotten_disks_have_no_format(self) -> None:
        record.write(self.path, '/i/disk', 'raw')
        record.write(self.path, '/i/disk.rescue', 'qcow2')

        record.forget(self.path, '/i/disk.rescue', '/i/disk.config.rescue')

        self.assertEqual({'/i/disk': 'raw'}, record.read_all(self.path))

    def test_without_disks_there_is_no_record(self) -> None:
        record.write(self.path, '/i/disk', 'raw')

        record.forget(self.path, '/i/disk')

        self.assertEqual([], os.listdir(self.folder))

    def test_writers_at_the_same_time_lose_nothing(self) -> None:
        disks = [f'/i/disk.{number}' for number in range(30)]
        children = [subprocess.Popen(
            [sys.executable, '-c', WRITER, self.path, *disks[start::2]])
            for start in (0, 1)]

        self.assertEqual([0, 0], [child.wait() for child in children])

        self.assertEqual(dict.fromkeys(disks, 'raw'),
                         record.read_all(self.path))

    def test_threads_at_the_same_time_lose_nothing(self) -> None:
        disks = [f'/i/disk.{number}' for number in range(40)]

        with futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(
                lambda disk: record.write(self.path, disk, 'raw'), disks))
            list(pool.map(
                lambda disk: record.forget(self.path, disk), disks[::2]))

        self.assertEqual(dict.fromkeys(disks[1::2], 'raw'),
                         record.read_all(self.path))

    def test_without_a_folder_there_is_nothing_to_forget(self) -> None:
        missing = str(self.folder / 'missing' / 'disk.info')

        record.forget(missing, '/i/disk')

        self.assertRaises(exception.StorageFailure, record.write, missing,
                          '/i/disk', 'raw')

    def test_forgetting_makes_no_record(self) -> None:
        record.forget(self.path, '/i/disk')

        self.assertEqual([], os.listdir(self.folder))
