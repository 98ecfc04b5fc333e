# SPDX-License-Identifier: Apache-2.0

"""Processes that a test kills in the middle of something."""

import os
import subprocess
import sys

from tests import base


def begun(
        test: base.TestCase, program: str, *arguments: str,
        **environ: str) -> 'subprocess.Popen[bytes]':
    """Start a program in Python; return it when it says that it has begun.

    :param environ: variables in which its environment differs
    """
    child = subprocess.Popen(
        [sys.executable, '-c', program, *arguments],
        env={**os.environ, **environ}, stdout=subprocess.PIPE)
    test.addCleanup(child.wait)
    test.addCleanup(child.kill)
    assert child.stdout is not None
    test.addCleanup(child.stdout.close)
    test.assertEqual(b'begun\n', child.stdout.readline())
    return child
