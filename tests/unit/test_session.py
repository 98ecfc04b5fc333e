# SPDX-License-Identifier: Apache-2.0

"""The recorded sessions of the user guide are ones of today's commands."""

import pathlib
import re
import runpy

from nova_libvirt_driver.cli import table
from tests import base

ROOT = pathlib.Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'session'
STATE = {'root': '/var/lib/nova-libvirt/', 'user': '~/.local/state/'}
LONGEST_S = 300


class SessionTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.tool = runpy.run_path(str(TOOL))
        self.recorded = {
            name: self.tool['recorded'](name).read_text() for name in STATE}

    def test_they_have_the_steps_of_the_tool(self) -> None:
        for name, text in self.recorded.items():
            with self.subTest(name=name):
                self.assertEqual(list(self.tool['STEPS']), re.findall(
                    r'^\$ ((?:.*\\\n)*.*)$', text, re.MULTILINE))

    def test_they_end_in_time_and_fit_the_terminal(self) -> None:
        for name, text in self.recorded.items():
            took = re.findall(r'^ +\[(\d+) s\]$', text, re.MULTILINE)
            # A step that changes the folder takes no time.
            self.assertEqual(len(self.tool['STEPS']) - 1, len(took))
            self.assertLessEqual(sum(map(int, took)), LONGEST_S, name)
            self.assertLessEqual(
                max(map(len, text.split('\n'))), self.tool['COLUMNS'], name)

    def test_a_command_was_run_in_the_guest_by_ssh(self) -> None:
        for name, text in self.recorded.items():
            self.assertRegex(
                text, r'server ssh web1 .*-- uname -sr\n(.*\n)+?'
                r'Linux \d[^\n]*\n *\[', name)

    def test_one_is_of_root_and_one_of_a_user(self) -> None:
        for name, text in self.recorded.items():
            for other, folder in STATE.items():
                self.assertEqual(name == other, folder in text, name)

    def test_their_commands_exist(self) -> None:
        for step in self.tool['STEPS']:
            if not step.startswith(self.tool['CLIENT']) or any(
                    word in step for word in self.tool['WRONG']):
                continue
            with self.subTest(step=step):
                words = step.removeprefix(self.tool['CLIENT']).strip()

                self.assertTrue(any(
                    words.startswith(f'{name} ') or words == name
                    for name in table.COMMANDS), words)
