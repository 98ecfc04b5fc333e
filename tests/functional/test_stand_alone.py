# SPDX-License-Identifier: Apache-2.0

"""The example of the page on the public interface, as it is shown there."""

import pathlib
import subprocess
import sys

import fixtures

from tests.functional import base

EXAMPLE = pathlib.Path(__file__).with_name('stand_alone.py')
TIMEOUT_S = 120


class ExampleTest(base.PrivateHostTestCase):

    def test_it_makes_a_guest_and_removes_it(self) -> None:
        folder = self.useFixture(fixtures.TempDir()).path

        done = subprocess.run(
            [sys.executable, EXAMPLE, self.host.uri, folder],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

        self.assertEqual(0, done.returncode, done.stderr)
        # Events come on another thread, and the last one may be late.
        self.assertLessEqual({'one started', "it says [b'hello']"},
                             set(done.stdout.splitlines()))
        self.assertEqual([], [
            path.name for path in pathlib.Path(folder).glob('*-*-*-*-*')])
        self.assertEqual('', self.host.virsh(
            'list', '--all', '--name').strip())
