# SPDX-License-Identifier: Apache-2.0

"""``health`` the quick way: the same as the command, or nothing."""

import io
import os
import pathlib
import pty
import subprocess
import sys

import fixtures

from nova_libvirt_driver.cli import quick
from nova_libvirt_driver.cli import verdict
from nova_libvirt_driver.spec import health as health_spec
from tests.unit.cli import base
from tests.unit.cli import test_health
from tests.unit.monitoring import values
from tests.unit import test_package

STATES = (
    values.WELL,
    values.LOST,
    values.lost(lost_for_s=60.0),
    values.well(abandoned_calls=2, unresponsive=('6695eb01', '0b2a')),
    values.well(last_error='no\x1b[2Jthing\nmore'),
)


class QuickTestCase(test_health.HealthTestCase):

    def quick(self, *arguments: str) -> base.Result | None:
        """Run it; None when it leaves it to the command."""
        stdout = io.StringIO()
        with fixtures.MonkeyPatch('sys.stdout', stdout):
            code = quick.run(arguments)
        if code is None:
            self.assertEqual('', stdout.getvalue())
            return None
        return base.Result(code, stdout.getvalue(), '')

    def assert_same(self, *arguments: str) -> None:
        """See whether it does what the command does."""
        words = ('--config-file', str(self.config_file), *arguments)
        self.assertEqual(self.run_client(*words), self.quick(*words))


class SameTest(QuickTestCase):

    def test_whatever_the_state_is(self) -> None:
        self.serve()
        for self.driver.status in STATES:
            for layout in ('json', 'value', 'table'):
                self.assert_same('health', '-f', layout)

    def test_however_it_is_asked(self) -> None:
        self.serve()
        for arguments in (
                ['health'], ['health', '--format=json'],
                ['--timeout', '0.5', 'health', '--socket', self.path],
                ['health', f'--socket={self.path}', '--timeout=1']):
            self.assert_same(*arguments)

    def test_without_a_service(self) -> None:
        self.assert_same('health', '-f', 'json')

    def test_when_it_is_mute(self) -> None:
        self.be_mute()

        self.assert_same('--timeout', '0.2', 'health')

    def test_when_the_socket_is_off(self) -> None:
        self.configure('status_socket = off')

        self.assert_same('health')

    def test_wrong_values_of_other_options_do_not_matter(self) -> None:
        self.serve()
        self.configure('connect_timeout = often', 'metrics_port = x')

        self.assert_same('health', '-f', 'json')

    def test_the_codes_are_those_of_the_verdicts(self) -> None:
        self.assertEqual(
            [getattr(verdict.Code, one.name) for one in health_spec.Verdict],
            [verdict.CODES.get(one.value, verdict.Code.UNAVAILABLE)
             for one in health_spec.Verdict])


class LeftToTheCommandTest(QuickTestCase):

    def test_what_it_does_not_understand(self) -> None:
        self.serve()
        for arguments in (
                [], ['help', 'health'], ['health', '--help'],
                ['health', 'more'], ['version'], ['explain', 'health'],
                ['health', '-f', 'yaml'], ['health', '-c', 'verdict'],
                ['health', '-f'], ['health', '-f', '-v'],
                ['health', '--socket='], ['--debug', 'health'],
                ['health', '-f', 'json', '-f', 'value'],
                ['--timeout', 'x', 'health'], ['--timeout', '0.01', 'health'],
                ['--timeout', 'inf', 'health'],
                ['--config-dir', self.folder, 'health'],
                ['--config-file', f'{self.folder}/none', 'health']):
            self.assertIsNone(self.quick(*arguments), str(arguments))

    def test_characters_of_unknown_width(self) -> None:
        self.serve(last_error='für')
        words = ('health', '--socket', self.path)

        self.assertIsNone(self.quick(*words))
        self.assertIsNone(self.quick(*words, '-f', 'value'))
        self.assert_same('health', '-f', 'json')

    def test_a_table_that_is_to_be_made_to_fit(self) -> None:
        self.serve()
        self.useFixture(fixtures.EnvironmentVariable(
            'CLIFF_MAX_TERM_WIDTH', '40'))

        self.assertIsNone(self.quick('health', '--socket', self.path))

    def test_a_failure_of_its_own(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'nova_libvirt_driver.monitoring.inquiry.ask', lambda *_: None))

        self.assertIsNone(self.quick('health', '--socket', self.path))


class ProcessTest(QuickTestCase):
    """What a process of its own does."""

    ENTRY = ('from nova_libvirt_driver.cli import __main__ as entry\n'
             'import sys\n')

    def test_nothing_large_is_loaded(self) -> None:
        found = test_package.imported_by(
            f'{self.ENTRY}'
            f'entry.main(["--config-file", "{self.config_file}", "health"])')

        self.assertIn('nova_libvirt_driver', found)
        for name in ('argparse', 'cliff', 'dataclasses', 'inspect',
                     'libvirt', 'logging', 'lxml', 'oslo_config', 'oslo_log',
                     'oslo_utils', 'prettytable', 'stevedore', 'subprocess',
                     *test_package.HEAVY):
            self.assertNotIn(name, found)

    def test_the_rest_is_loaded_for_whatever_needs_it(self) -> None:
        found = test_package.imported_by(
            f'{self.ENTRY}entry.main(["version"])')

        self.assertIn('cliff', found)

    def test_nobody_reads_the_output(self) -> None:
        with subprocess.Popen(
                [sys.executable, '-m', 'nova_libvirt_driver.cli', 'health',
                 '--socket', self.path], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stderr is not None
            process.stdout.close()
            noise = process.stderr.read()

        self.assertEqual((141, b''), (process.returncode, noise))

    def test_a_terminal_that_is_wide_enough_or_not(self) -> None:
        own, other = pty.openpty()
        self.addCleanup(os.close, own)
        with open(other, 'w') as stream, fixtures.MonkeyPatch(
                'sys.stdout', stream):
            for columns, fits in ((200, True), (20, False)):
                self.useFixture(fixtures.MonkeyPatch(
                    'os.get_terminal_size',
                    lambda *_: os.terminal_size((columns, 20))))
                code = quick.run(['health', '--socket', self.path])

                self.assertEqual(fits, code is not None)


class ScriptTest(base.ClientTestCase):

    def test_the_installed_script_begins_with_it(self) -> None:
        text = pathlib.Path(test_package.ROOT, 'pyproject.toml').read_text()

        self.assertIn('"nova_libvirt_driver.cli.__main__:main"', text)
