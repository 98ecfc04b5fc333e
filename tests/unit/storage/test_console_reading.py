# SPDX-License-Identifier: Apache-2.0

import os
import pathlib

import fixtures

from nova_libvirt_driver.calls import calls
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import console_log
from tests import base

MAX = console_log.MAX_BYTES
INSTANCE = instance_spec.InstanceRef(
    '8b0c0b9e-1d1c-4b4f-8a53-0f1a2c6f7e01', 'one')


class ConsoleReadingTest(base.TestCase):

    max_bytes = 1 << 30

    def setUp(self) -> None:
        super().setUp()
        self.instances_path = self.useFixture(fixtures.TempDir()).path
        self.log_path = pathlib.Path(
            self.instances_path, INSTANCE.uuid, 'console.log')
        self.log_path.parent.mkdir()

    def read(self) -> bytes:
        return console_log.ConsoleLogs(
            self.instances_path, self.max_bytes,
            calls.make(host='here', limit=1)).read(INSTANCE)

    def old(self, number: int) -> pathlib.Path:
        return self.log_path.with_name(f'console.log.{number}')

    def test_bytes_are_passed_on_as_they_are(self) -> None:
        self.log_path.write_bytes(b'\xff\x00\x1b[2Jhello\n')

        self.assertEqual(b'\xff\x00\x1b[2Jhello\n', self.read())

    def test_long_log_is_cut_at_its_beginning(self) -> None:
        self.log_path.write_bytes(b'x' * (10 * MAX) + b'end')

        output = self.read()

        self.assertEqual(MAX, len(output))
        self.assertTrue(output.endswith(b'xend'))

    def test_older_logs_come_first(self) -> None:
        self.log_path.write_bytes(b'three')
        self.old(0).write_bytes(b'two ')
        self.old(1).write_bytes(b'one ')

        self.assertEqual(b'one two three', self.read())

    def test_older_logs_fill_what_is_missing(self) -> None:
        self.log_path.write_bytes(b'new')
        self.old(0).write_bytes(b'first' + b'o' * MAX)
        self.old(1).write_bytes(b'never')

        self.assertEqual(b'o' * (MAX - 3) + b'new', self.read())

    def test_log_that_is_rotated_meanwhile_is_not_told_twice(self) -> None:
        self.log_path.write_bytes(b'once')
        os.link(self.log_path, self.old(0))

        self.assertEqual(b'once', self.read())

    def test_a_log_that_is_too_long_is_rotated_and_read_whole(self) -> None:
        self.max_bytes = MAX // 2
        self.log_path.write_bytes(b'one ' * (self.max_bytes // 4) + b'end')

        output = self.read()

        self.assertTrue(output.endswith(b'one end'))
        self.assertEqual(self.max_bytes + 3, len(output))
        self.assertEqual(b'', self.log_path.read_bytes())

    def test_links_are_not_followed(self) -> None:
        secret = self.log_path.with_name('secret')
        secret.write_bytes(b'canary')
        self.log_path.symlink_to(secret)

        error = self.assertRaises(exception.ConsoleUnavailable, self.read)
        self.assertIn('not a regular file', str(error))

        self.log_path.unlink()
        self.log_path.write_bytes(b'mine')
        self.old(0).symlink_to(secret)
        self.assertEqual(b'mine', self.read())

    def test_pipe_is_not_waited_for(self) -> None:
        os.mkfifo(self.log_path)

        self.assertRaises(exception.ConsoleUnavailable, self.read)

    def test_missing_log_is_no_console(self) -> None:
        error = self.assertRaises(exception.ConsoleUnavailable, self.read)

        self.assertIn('nothing is recorded', str(error))

    def test_folder_that_is_a_file_is_a_storage_failure(self) -> None:
        self.log_path.parent.rmdir()
        self.log_path.parent.touch()

        self.assertRaises(exception.StorageFailure, self.read)
