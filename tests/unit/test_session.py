# SPDX-License-Identifier: Apache-2.0

"""The recorded session of the user guide is one of today's commands."""

import pathlib
import re
import runpy

from nova_libvirt_driver.cli import table
from tests import base

ROOT = pathlib.Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'session'


class SessionTest(base.TestCase):

    def test_it_has_the_steps_of_the_tool(self) -> None:
        steps = runpy.run_path(str(TOOL))['STEPS']
        recorded = (ROOT / 'doc/source/user/session.txt').read_text()

        self.assertEqual(list(steps), re.findall(
            r'^\$ ((?:.*\\\n)*.*)$', recorded, re.MULTILINE))

    def test_its_commands_exist(self) -> None:
        tool = runpy.run_path(str(TOOL))
        for step in tool['STEPS']:
            if not step.startswith(tool['CLIENT']) or any(
                    word in step for word in tool['WRONG']):
                continue
            with self.subTest(step=step):
                words = step.removeprefix(tool['CLIENT']).strip()

                self.assertTrue(any(
                    words.startswith(f'{name} ') or words == name
                    for name in table.COMMANDS), words)
