# SPDX-License-Identifier: Apache-2.0

import signal
import subprocess
import sys

from nova_libvirt_driver import ports
from nova_libvirt_driver.testing import fake_progress
from tests import base

VICTIM = '''
from nova_libvirt_driver.testing import fake_progress
progress = fake_progress.KillingProgress(2)
progress.step('image')
print('still here', flush=True)
progress.step('disks')
print('never')
'''


def work(progress: ports.Progress) -> None:
    """Do three steps."""
    for name in ('image', 'disks', 'define'):
        progress.step(name)


class ProgressTest(base.TestCase):
    """Listeners that count the steps of a verb."""

    def test_steps_and_advances_are_remembered(self) -> None:
        progress = fake_progress.RecordingProgress()

        work(progress)
        progress.advance(1, 2)

        self.assertEqual(['image', 'disks', 'define'], progress.steps)
        self.assertEqual([(1, 2)], progress.advances)

    def test_step_asked_for_fails(self) -> None:
        progress = fake_progress.FailingProgress(2)

        self.assertRaisesRegex(
            fake_progress.Stopped, 'step 2: disks', work, progress)

        self.assertTrue(progress.raised)

    def test_verb_with_fewer_steps_does_not_fail(self) -> None:
        progress = fake_progress.FailingProgress(4)

        work(progress)

        self.assertFalse(progress.raised)

    def test_error_may_be_chosen(self) -> None:
        error = OSError('disk full')

        raised = self.assertRaises(
            OSError, work, fake_progress.FailingProgress(1, error))

        self.assertIs(error, raised)

    def test_process_is_killed_at_the_step(self) -> None:
        done = subprocess.run(
            [sys.executable, '-c', VICTIM], capture_output=True, text=True,
            check=False)

        self.assertEqual('still here\n', done.stdout)
        self.assertEqual(-signal.SIGKILL, done.returncode)
