# SPDX-License-Identifier: Apache-2.0

"""A socket that the user of the service may not use."""

import json
import pathlib
import subprocess
import sys
from typing import Any

from tests.faults import base

ROOT = pathlib.Path(__file__).parents[2]


class SocketPermissionsTest(base.ConnectionFaultTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.socket = self.host.directory / 's' / 'libvirt-sock'
        self.addCleanup(self.socket.chmod, self.socket.stat().st_mode)
        self.socket.chmod(0o600)

    def start_as_nobody(self) -> 'subprocess.Popen[str]':
        process = subprocess.Popen(
            [sys.executable, '-m', 'tests.faults.as_nobody', self.host.uri],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def told(self, process: 'subprocess.Popen[str]') -> dict[str, Any]:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        if not line:
            self.fail(process.stderr.read())
        told: dict[str, Any] = json.loads(line)
        return told

    def test_it_says_what_to_do_and_connects_once_that_is_done(self) -> None:
        self.start_guest('stays')
        process = self.start_as_nobody()

        refused = self.told(process)

        self.assertIn('Permission denied', refused['error'])
        self.assertIn('libvirt group', refused['next_step'])
        self.assertIs(False, refused['enabled'])
        with base.within(base.BACK_S):
            self.socket.chmod(0o666)
            self.assertEqual(['stays'], self.told(process)['names'])
        self.assertEqual(0, process.wait(base.MARGIN_S))
