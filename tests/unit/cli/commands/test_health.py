# SPDX-License-Identifier: Apache-2.0

"""``health``, and the check of ``doctor`` that asks the same service."""

import dataclasses
import json
import os
import pathlib
import socket
import time

import fixtures

from nova_libvirt_driver.cli.doctor import check_service
from nova_libvirt_driver.monitoring import monitor
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import monitoring
from nova_libvirt_driver.testing import fake_driver
from tests.unit.cli import base
from tests.unit.monitoring import values
from tests.unit import test_package


class WatchedDriver(fake_driver.FakeDriver):
    """A driver whose status is given."""

    status = values.WELL

    def connection_status(self) -> connection_spec.ConnectionStatus:
        return self.status


class HealthTestCase(base.ClientTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.path = f'{self.folder}/nova-libvirt-h1.sock'
        self.config_file = pathlib.Path(self.folder, 'a.conf')
        self.configure()
        self.driver = WatchedDriver()

    def configure(self, *lines: str) -> None:
        self.config_file.write_text('\n'.join((
            '[DEFAULT]', f'host = {base.HOST}', f'state_path = {self.folder}',
            '[nova_libvirt_driver]', *lines)) + '\n')

    def serve(self, **fields: object) -> None:
        """Have a service whose connection has these values."""
        self.driver.status = dataclasses.replace(
            self.driver.status, **fields)  # type: ignore[arg-type]
        serving = monitor.Monitor(self.driver, monitoring.Settings(
            host=base.HOST, status_socket=self.path))
        serving.start()
        self.addCleanup(serving.stop)

    def be_mute(self) -> None:
        """Have a service that lets in and says nothing."""
        # A green socket is closed as soon as nobody knows it.
        self.mute = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.mute.close)
        self.mute.bind(self.path)
        self.mute.listen(4)

    def health(self, *arguments: str) -> base.Result:
        return self.run_client(
            '--config-file', str(self.config_file), *arguments)


class HealthTest(HealthTestCase):

    def test_the_verdict_is_the_exit_code(self) -> None:
        self.serve()
        for status, verdict, code in (
                (values.WELL, 'healthy', 0),
                (values.well(abandoned_calls=2), 'degraded', 1),
                (values.LOST, 'degraded', 1),
                (values.lost(lost_for_s=60.0), 'unavailable', 2)):
            self.driver.status = status

            result = self.health('health', '-f', 'json')

            self.assertEqual(
                (code, verdict), (result.code, result.json['verdict']))
            self.assertEqual('', result.stderr)

    def test_reasons_are_a_list_for_programs(self) -> None:
        self.serve(abandoned_calls=2, unresponsive=('6695eb01',))

        shown = self.health('health', '-f', 'json').json

        self.assertEqual(
            ['guests that do not answer: 6695eb01',
             'calls that libvirt has not answered in time: 2'],
            shown['reasons'])
        self.assertEqual(2, len(shown['next_steps']))
        self.assertEqual(['6695eb01'], shown['unresponsive'])
        self.assertEqual(
            ('h1', os.getpid(), 'qemu:///system', 'connected', 'closed', 64),
            tuple(shown[name] for name in (
                'host', 'pid', 'uri', 'state', 'breaker', 'call_limit')))

    def test_and_lines_for_people(self) -> None:
        self.serve(abandoned_calls=2, unresponsive=('6695eb01',))

        result = self.health('health', '-c', 'reasons', '-f', 'value')
        table = self.health('health').stdout

        self.assertEqual(1, result.code)
        self.assertIn('6695eb01', result.stdout)
        self.assertRegex(table, r'verdict +\| degraded')
        self.assertRegex(table, r'\n\| +\| calls that libvirt has not')

    def test_what_a_terminal_would_obey_is_left_out(self) -> None:
        self.serve(last_error='no\x1b[2Jthing')

        shown = (self.health('health').stdout
                 + check_service.service(self.path).detail)

        self.assertIn('thing', shown)
        self.assertNotIn('\x1b', shown)

    def test_without_a_service_it_says_so(self) -> None:
        result = self.health('health', '-f', 'json')

        self.assertEqual(
            (2, 'unavailable', [f'no service listens at {self.path}']),
            (result.code, result.json['verdict'], result.json['reasons']))
        self.assertIn('start nova-libvirt-compute',
                      result.json['next_steps'][0])

    def test_a_service_that_is_mute_is_given_up(self) -> None:
        self.be_mute()
        begun = time.monotonic()

        result = self.health('--timeout', '0.2', 'health', '-f', 'json')

        self.assertLess(time.monotonic() - begun, 10)
        self.assertEqual(2, result.code)
        self.assertIn('did not answer within 0.2 s',
                      result.json['reasons'][0])

    def test_a_socket_that_is_off_is_said_to_be(self) -> None:
        self.configure('status_socket = off')

        result = self.health('health', '-f', 'json')

        self.assertEqual(2, result.code)
        self.assertIn('switched off', result.json['reasons'][0])

    def test_another_socket_can_be_named(self) -> None:
        self.serve()
        self.configure('status_socket = off')

        self.assertEqual(
            0, self.health('health', '--socket', self.path).code)

    def test_its_own_failure_is_no_verdict(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'nova_libvirt_driver.monitoring.inquiry.ask', lambda *_: None))

        self.assertEqual(255, self.health('health').code)

    def test_it_loads_neither_libvirt_nor_the_bus(self) -> None:
        found = test_package.imported_by(
            'from nova_libvirt_driver.cli import app\n'
            'from nova_libvirt_driver.cli.commands import health')

        for name in ('libvirt', 'lxml', 'prometheus_client',
                     *test_package.heavy()):
            self.assertNotIn(name, found)


class ServiceCheckTest(HealthTestCase):

    def test_what_the_service_says_is_shown(self) -> None:
        self.serve(generation=3, reconnects=2, last_error='long ago')

        check = check_service.service(self.path)

        self.assertEqual(('service', 'ok', ''),
                         (check.name, check.status, check.fix))
        self.assertEqual(
            f'process {os.getpid()} is healthy: connected since 12 s, '
            'connection 3, reconnects 2, breaker closed, abandoned calls 0 '
            'of 64, quarantined guests 0, queued events 0, last error: long '
            'ago', check.detail)

    def test_what_speaks_against_it_is_to_be_fixed(self) -> None:
        self.serve(abandoned_calls=2)

        check = check_service.service(self.path)

        self.assertEqual('warning', check.status)
        self.assertIn('not answered in time: 2: look at', check.fix)

    def test_an_outage_is_a_failure(self) -> None:
        self.driver.status = values.lost(lost_for_s=60.0)
        self.serve()

        check = check_service.service(self.path)

        self.assertEqual('failure', check.status)
        self.assertIn('breaker open', check.detail)
        self.assertIn('the daemon closed it', check.fix)

    def test_none_is_skipped_and_said(self) -> None:
        for path, text in ((self.path, f'no service listens at {self.path}'),
                           ('', 'status_socket is off')):
            check = check_service.service(path)

            self.assertEqual('skipped', check.status)
            self.assertIn(text, check.detail)

    def test_one_that_is_mute_is_a_failure(self) -> None:
        self.be_mute()
        self.useFixture(fixtures.MonkeyPatch(
            'nova_libvirt_driver.cli.doctor.check_service.TIMEOUT_S', 0.2))

        check = check_service.service(self.path)

        self.assertEqual('failure', check.status)
        self.assertTrue(check.fix)


class DocumentTest(HealthTestCase):

    def test_the_answer_is_one_line_of_json(self) -> None:
        self.serve()
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(10)
            caller.connect(self.path)
            with caller.makefile('rb') as answer:
                lines = answer.readlines()

        self.assertEqual(1, len(lines))
        self.assertEqual('healthy',
                         json.loads(lines[0])['health']['verdict'])
