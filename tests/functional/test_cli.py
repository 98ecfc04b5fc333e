# SPDX-License-Identifier: Apache-2.0

"""The client as a process of its own, on libvirt's test hypervisor."""

import csv
import io
import json
import os
import pathlib
import subprocess
import sys
import time

import fixtures
import yaml

from tests import base

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_UUID = '6695eb01-f6a4-8304-79aa-97f2502e193f'
_NOWHERE = 'qemu+unix:///system?socket=/nonexistent/sock'

_IMPORTS = """
from nova_libvirt_driver.cli import app
import sys
code = app.main({arguments})
unwanted = ('nova', 'eventlet', 'futurist', 'oslo_messaging', 'oslo_service')
print([name for name in unwanted if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""

_NO_BINDING = """
raise ImportError('libvirt.so.0: cannot open shared object file',
                  name='libvirtmod')
"""


class CliTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path)
        self.config_file = self.folder / 'nova-libvirt.conf'
        self.config_file.write_text(
            f'[DEFAULT]\nhost = h1\nstate_path = {self.folder}/state\n'
            '[libvirt]\nconnection_uri = test:///default\n')
        self.path = [str(_ROOT)]

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True,
            timeout=180, check=False, env={
                **os.environ, 'PYTHONPATH': os.pathsep.join(self.path),
                'HOME': str(self.folder)})

    def run_client(
            self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.python(
            '-m', 'nova_libvirt_driver.cli',
            '--config-file', str(self.config_file), *arguments)

    def output_of(self, *arguments: str) -> str:
        done = self.run_client(*arguments)
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        return done.stdout


class EmbeddedTest(CliTestCase):

    def test_server_list_has_the_same_rows_in_each_format(self) -> None:
        def listed(kind: str) -> str:
            return self.output_of(
                'server', 'list', '--all', '-f', kind, '-c', 'ID',
                '-c', 'Name', '-c', 'Status')

        expected = [{'ID': _UUID, 'Name': 'test', 'Status': 'running'}]
        self.assertEqual(expected, json.loads(listed('json')))
        self.assertEqual(expected, yaml.safe_load(listed('yaml')))
        self.assertEqual(
            expected, list(csv.DictReader(io.StringIO(listed('csv')))))
        self.assertEqual(f'{_UUID} test running\n', listed('value'))
        self.assertIn(f'| {_UUID[:8]} | test | running |', listed('table'))

    def test_server_list_without_guests_is_an_empty_table(self) -> None:
        node = self.folder / 'node.xml'
        node.write_text('<node></node>')

        output = self.output_of('--uri', f'test://{node}', 'server', 'list')

        self.assertIn(
            '| ID | Name | Status | vCPUs | Memory MiB | Address |', output)

    def test_host_show_has_facts_and_resources(self) -> None:
        shown = json.loads(self.output_of('host', 'show', '-f', 'json'))

        self.assertEqual('TEST', shown['hypervisor_type'])
        self.assertEqual('test:///default', shown['uri'])
        self.assertEqual(16, shown['vcpus'])
        self.assertEqual(1, shown['running_servers'])
        self.assertRegex(shown['libvirt_version'], r'^\d+\.\d+\.\d+$')

    def test_version_needs_no_libvirt_that_can_be_reached(self) -> None:
        shown = json.loads(self.output_of(
            '--uri', _NOWHERE, 'version', '-f', 'json'))

        self.assertEqual(
            ['nova-libvirt-driver', 'libvirt-python', 'libvirt', 'python'],
            list(shown))

    def test_doctor_finds_no_failure(self) -> None:
        done = self.run_client('doctor', '-f', 'json')

        found = {row['Check']: row for row in json.loads(done.stdout)}
        self.assertIn(done.returncode, (0, 1), done.stdout)
        for name in ('connection', 'events', 'event loop', 'permission'):
            self.assertEqual('ok', found[name]['Status'], found[name])
        self.assertEqual('skipped', found['service']['Status'])
        self.assertFalse((self.folder / 'state').exists())

    def test_a_disabled_service_stays_so_until_it_is_enabled(self) -> None:
        def state(*words: str) -> tuple[bool, str, str]:
            row = json.loads(self.output_of('service', *words, '-f', 'json'))
            return row['enabled'], row['reason'], row['disabled_by']

        disabled = (False, 'new disks', 'operator')
        self.assertEqual((True, '', ''), state('show'))
        self.assertEqual(
            disabled, state('disable', '--reason', 'new disks'))
        self.assertEqual(disabled, state('show'))
        self.assertEqual((True, '', ''), state('enable'))

    def test_events_that_do_not_come_are_a_timeout(self) -> None:
        done = self.run_client('--timeout', '3', 'events')

        self.assertEqual(6, done.returncode)
        self.assertIn('Error: 0 of 1 events came within 3 s\n',
                      done.stderr)

    def test_following_for_a_time_ends_well(self) -> None:
        done = self.run_client(
            '-q', '--timeout', '3', 'events', '--follow', '-f', 'json')

        self.assertEqual((0, '', ''),
                         (done.returncode, done.stdout, done.stderr))

    def test_a_reader_that_goes_away_is_no_error(self) -> None:
        done = subprocess.run(
            ['bash', '-c', 'set -o pipefail; "$0" -m nova_libvirt_driver.cli'
             ' --help | true', sys.executable],
            capture_output=True, text=True, timeout=180, check=False,
            env={**os.environ, 'PYTHONPATH': str(_ROOT)})

        self.assertEqual('', done.stderr)
        self.assertIn(done.returncode, (0, 141))


class ErrorTest(CliTestCase):

    def test_libvirt_that_is_down_is_told_at_once(self) -> None:
        begin = time.monotonic()

        done = self.run_client('--uri', _NOWHERE, 'server', 'list')

        self.assertLess(time.monotonic() - begin, 30)
        lines = done.stderr.splitlines()
        self.assertEqual(5, done.returncode)
        self.assertEqual(4, len(lines), done.stderr)
        self.assertTrue(lines[0].startswith(
            'Error: libvirt on host h1 cannot be used: cannot open '
            f'{_NOWHERE}: '))
        self.assertEqual(f'  Tried: server list on {_NOWHERE}', lines[1])
        self.assertIn('start the libvirt daemon', lines[3])

    def test_doctor_says_why_libvirt_is_down_and_goes_on(self) -> None:
        done = self.run_client('--uri', _NOWHERE, 'doctor', '-f', 'json')

        found = {row['Check']: row for row in json.loads(done.stdout)}
        self.assertEqual(2, done.returncode)
        self.assertEqual('failure', found['connection']['Status'])
        self.assertIn('start the libvirt daemon',
                      found['connection']['Fix'])
        self.assertEqual('skipped', found['hypervisor']['Status'])
        self.assertEqual('ok', found['state_path']['Status'])

    def test_a_missing_binding_is_one_clear_line(self) -> None:
        (self.folder / 'libvirt.py').write_text(_NO_BINDING)
        self.path.insert(0, str(self.folder))

        listing = self.run_client('server', 'list')
        version = self.run_client('version', '-f', 'json')
        doctor = self.run_client('doctor')

        self.assertEqual(
            [1, 0, 2],
            [listing.returncode, version.returncode, doctor.returncode])
        self.assertIn('libvirt.so.0', listing.stderr.splitlines()[0])
        self.assertNotIn('Traceback', listing.stderr)
        self.assertIn('libvirt.so.0', doctor.stdout)

    def test_a_bad_value_is_named_with_its_file(self) -> None:
        self.config_file.write_text('[libvirt]\nvirt_type = vax\n')

        done = self.run_client('server', 'list')

        self.assertEqual(2, done.returncode)
        self.assertTrue(done.stderr.startswith(
            'Error: invalid configuration: [libvirt] virt_type in '
            f'{self.config_file}: '), done.stderr)

    def test_a_file_that_is_not_there_is_named(self) -> None:
        done = self.run_client('--config-file', '/nonexistent.conf',
                               'host', 'show')

        self.assertEqual(2, done.returncode)
        self.assertIn('no such file: /nonexistent.conf', done.stderr)

    def test_an_unknown_command_is_wrong_usage(self) -> None:
        done = self.run_client('serve')

        self.assertEqual((2, ''), (done.returncode, done.stdout))
        self.assertIn("unknown command 'serve'", done.stderr)


class ImportTest(CliTestCase):

    def test_local_commands_leave_nova_and_the_bus_alone(self) -> None:
        for arguments in (['--help'], ['version'], ['server', 'list'],
                          ['host', 'show'], ['service', 'show'],
                          ['doctor'], ['health']):
            with self.subTest(arguments=arguments):
                script = _IMPORTS.format(arguments=[
                    '--config-file', str(self.config_file), *arguments])

                done = self.python('-c', script)

                self.assertEqual('[]\n', done.stderr)
