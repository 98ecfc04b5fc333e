# SPDX-License-Identifier: Apache-2.0

"""Nova's own tests over the driver, each host and mode in its own process.

Nova's tests change the process that they run in: it is patched for eventlet,
and its options are not what they were.
"""

import os
import re
import subprocess
import sys
import unittest

from tests.nova import environments

_TIMEOUT_S = 300


def run(module: str, *, eventlet: bool) -> tuple[int, str]:
    """Run the tests of a module; return how many passed, and what it said."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', 'unittest',
         f'tests.nova.conformance.{module}'],
        cwd=environments.ROOT, capture_output=True, text=True,
        timeout=_TIMEOUT_S, env={
            **os.environ, 'NOVA_LIBVIRT_TEST_EVENTLET': str(int(eventlet))})
    said = done.stderr[-8000:]
    ran = re.search(r'^Ran (\d+) tests', done.stderr, re.MULTILINE)
    skipped = re.search(r'skipped=(\d+)', done.stderr)
    if done.returncode or not ran:
        return 0, said
    return int(ran[1]) - (int(skipped[1]) if skipped else 0), said


class ConformanceTest(unittest.TestCase):

    def check(
            self, module: str, *, eventlet: bool,
            at_least: int = 30) -> None:
        passed, said = run(module, eventlet=eventlet)

        # Not all skipped: that would be no failure.
        self.assertGreaterEqual(passed, at_least, said)

    def test_simulated_native(self) -> None:
        self.check('simulated', eventlet=False)

    def test_simulated_eventlet(self) -> None:
        self.check('simulated', eventlet=True)

    def test_qemu_native(self) -> None:
        self.check('qemu', eventlet=False)

    def test_qemu_eventlet(self) -> None:
        self.check('qemu', eventlet=True)

    def test_mixed(self) -> None:
        self.check('mixed', eventlet=False, at_least=7)

    def test_volumes(self) -> None:
        self.check('volumes', eventlet=False, at_least=3)

    def test_moves(self) -> None:
        self.check('moves', eventlet=False, at_least=7)

    def test_live(self) -> None:
        self.check('live', eventlet=False, at_least=9)

    def test_servers(self) -> None:
        self.check('servers', eventlet=False, at_least=24)
