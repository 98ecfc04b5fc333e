# SPDX-License-Identifier: Apache-2.0

"""The program as a whole, on commands that need no libvirt."""

import os

import fixtures

from nova_libvirt_driver.cli import table
from tests.unit.cli import base


class UsageTest(base.ClientTestCase):

    def test_help_lists_every_command_and_exit_code(self) -> None:
        result = self.run_client('--help')

        self.assertEqual(0, result.code)
        for name in table.COMMANDS:
            self.assertIn(f'\n  {name} ', result.stdout)
        self.assertIn('  6    timed out\n', result.stdout)
        self.assertEqual('', result.stderr)

    def test_help_of_a_command_can_be_asked_in_two_ways(self) -> None:
        asked = self.run_client('help', 'events')
        optional = self.run_client('events', '--help')

        self.assertEqual(0, asked.code)
        self.assertEqual(asked, optional)
        self.assertTrue(
            asked.stdout.startswith('usage: nova-libvirt events '))

    def test_help_of_a_group_lists_its_commands(self) -> None:
        result = self.run_client('service', '--help')

        self.assertEqual(0, result.code)
        self.assertEqual(
            ['disable', 'enable', 'show'],
            [line.split()[1] for line in result.stdout.splitlines()])
        self.assertEqual('', result.stderr)

    def test_no_command_is_wrong_usage(self) -> None:
        result = self.run_client()

        self.assertEqual(2, result.code)
        self.assertEqual(
            'Error: no command given\n  Next:  nova-libvirt --help\n',
            result.stderr)

    def test_an_unknown_command_gets_the_closest_one(self) -> None:
        result = self.run_client('servr', 'list')

        self.assertEqual(2, result.code)
        self.assertEqual(
            "Error: unknown command 'servr list'\n"
            '  Next:  did you mean nova-libvirt server list? List all: '
            'nova-libvirt --help\n',
            result.stderr)

    def test_a_slip_in_any_place_is_understood(self) -> None:
        for words, meant in (
                (('list', 'servers'), 'nova-libvirt server list?'),
                (('server', 'lst', 'web1'), 'nova-libvirt server list?'),
                (('imgae', 'list', '--bad'), 'nova-libvirt image list?'),
                (('server', 'list', '--lnog'), 'did you mean --long?'),
                (('server', 'list', '--statsu=x'), 'did you mean --status?')):
            with self.subTest(words=words):
                result = self.run_client(*words)

                self.assertEqual(2, result.code)
                self.assertIn(meant, result.stderr)

    def test_half_a_command_gets_its_other_halves(self) -> None:
        result = self.run_client('service')

        self.assertEqual(2, result.code)
        self.assertEqual(
            'Error: service is only the beginning of a command\n'
            '  Next:  go on: service disable, service enable, service show\n',
            result.stderr)

    def test_every_command_about_guests_has_an_example(self) -> None:
        for name in table.COMMANDS:
            if name.split()[0] in ('flavor', 'image', 'server'):
                with self.subTest(name=name):
                    shown = self.run_client('help', *name.split()).stdout

                    self.assertIn(f'Example: nova-libvirt {name}',
                                  ' '.join(shown.split()))

    def test_an_unknown_option_is_named(self) -> None:
        for words in (('--nope', 'version'), ('version', '--nope')):
            with self.subTest(words=words):
                result = self.run_client(*words)

                self.assertEqual(2, result.code)
                self.assertIn('--nope', result.stderr.splitlines()[0])

    def test_a_bad_value_of_an_option_is_named(self) -> None:
        result = self.run_client('--timeout', 'soon', 'version')

        self.assertEqual(2, result.code)
        self.assertIn("'soon' is not a number of seconds", result.stderr)

    def test_a_command_about_this_machine_refuses_rpc(self) -> None:
        result = self.run_client('--rpc', 'h2', 'doctor')

        self.assertEqual(2, result.code)
        self.assertEqual(
            'Error: doctor cannot be asked of a compute service\n'
            '  Next:  leave --rpc out, and run it on h2\n', result.stderr)

    def test_a_wrong_column_is_wrong_usage(self) -> None:
        result = self.run_client('version', '-c', 'nope')

        self.assertEqual(2, result.code)
        self.assertIn('python', result.stderr)
        self.assertNotIn('Traceback', result.stderr)

    def test_a_traceback_comes_with_debug_only(self) -> None:
        arguments = ('--config-file', '/nonexistent', 'host', 'show')

        quiet = self.run_client(*arguments)
        loud = self.run_client('--debug', *arguments)

        self.assertNotIn('Traceback', quiet.stderr)
        self.assertIn('Traceback', loud.stderr)
        self.assertTrue(loud.stderr.endswith(quiet.stderr))

    def test_doctor_tells_its_own_failure_from_a_warning(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'nova_libvirt_driver.host.versions.installed', lambda: None))

        result = self.run_client(
            '--config-file', os.devnull, '--uri', 'test:///default', 'doctor')

        self.assertEqual(255, result.code)
        self.assertIn('Error: unexpected AttributeError', result.stderr)
        self.assertNotIn('Traceback', result.stderr)
