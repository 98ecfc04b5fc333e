# SPDX-License-Identifier: Apache-2.0

"""Reading the configuration for one run."""

import os
import pathlib

import fixtures
from oslo_config import cfg

from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import options
from nova_libvirt_driver.compute import embedded
from nova_libvirt_driver import exception
from tests import base


def _load(*words: str) -> cfg.ConfigOpts:
    arguments = options.parser('nova-libvirt', '', '').parse_args(words)
    return configuration.load(arguments, cfg.ConfigOpts())


class LoadTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path)
        # No file of the machine or of the user is found.
        self.useFixture(fixtures.EnvironmentVariable(
            'HOME', str(self.folder)))

    def _file(self, text: str) -> str:
        path = self.folder / 'a.conf'
        path.write_text(text)
        return str(path)

    def test_what_is_not_a_plain_file_is_refused_at_once(self) -> None:
        fifo = self.folder / 'pipe.conf'
        os.mkfifo(fifo)
        huge = self.folder / 'huge.conf'
        huge.touch()
        os.truncate(huge, 1 << 40)
        for path in ('/dev/zero', fifo, huge, self.folder):
            error = self.assertRaises(
                errors.UsageError, _load, '--config-file', str(path))

            self.assertIn(str(path), str(error))

        error = self.assertRaises(
            errors.UsageError, _load, '--config-dir', str(self.folder))
        self.assertIn('huge.conf', str(error))

    def test_the_null_device_stands_for_no_file(self) -> None:
        conf = _load('--config-file', os.devnull)

        self.assertEqual(
            embedded.default_uri(conf.state_path),
            conf.libvirt.connection_uri)

    def test_without_a_word_libvirt_is_the_embedded_one(self) -> None:
        conf = _load('--config-file', self._file(''), '--state-path', '/x y')

        self.assertIn(conf.libvirt.connection_uri, (
            'qemu:///embed?root=/x%20y/qemu', 'test:///default'))

    def test_the_uri_of_the_command_line_wins(self) -> None:
        path = self._file('[libvirt]\nconnection_uri = test:///a\n')

        conf = _load('--config-file', path, '--uri', 'test:///b')

        self.assertEqual('test:///b', conf.libvirt.connection_uri)

    def test_the_timeout_bounds_connecting(self) -> None:
        path = self._file('')

        conf = _load('--config-file', path, '--timeout', '2.5')

        self.assertEqual(2.5, conf.nova_libvirt_driver.connect_timeout)

    def test_a_long_wait_for_events_is_no_bad_timeout(self) -> None:
        path = self._file('')

        conf = _load('--config-file', path, '--timeout', '86400')

        self.assertEqual(600, conf.nova_libvirt_driver.connect_timeout)

    def test_a_bad_value_is_named_with_its_file(self) -> None:
        path = self._file('[nova_libvirt_driver]\nkeepalive_count = 0\n')

        error = self.assertRaises(
            exception.InvalidConfiguration, _load,
            '--config-file', path)

        self.assertEqual(
            'invalid configuration: [nova_libvirt_driver] keepalive_count '
            f'in {path}: Should be greater than or equal to 1', str(error))

    def test_a_bad_virt_type_is_named(self) -> None:
        path = self._file('[libvirt]\nvirt_type = vax\n')

        error = self.assertRaises(
            exception.InvalidConfiguration, _load,
            '--config-file', path)

        self.assertIn('[libvirt] virt_type', str(error))
        self.assertNotIn('LocationInfo', str(error))

    def test_a_file_that_is_not_there_is_named(self) -> None:
        error = self.assertRaises(
            errors.UsageError, _load,
            '--config-file', '/nonexistent.conf')

        self.assertEqual('the configuration cannot be read: no such file: '
                         '/nonexistent.conf', str(error))

    def test_a_file_without_sense_is_named_with_the_line(self) -> None:
        path = self._file('[DEFAULT\n')

        error = self.assertRaises(
            errors.UsageError, _load,
            '--config-file', path)

        self.assertIn(f'{path}:1', str(error))

    def test_a_folder_is_no_file(self) -> None:
        error = self.assertRaises(
            errors.UsageError, _load,
            '--config-file', str(self.folder))

        self.assertEqual('the configuration cannot be read: '
                         f'{self.folder}: Is a directory', str(error))
