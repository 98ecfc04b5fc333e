# SPDX-License-Identifier: Apache-2.0

"""Storage that does not answer: what waits for it cannot be killed."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time

import fixtures
import psutil

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import tool as tool_module
from tests import base

WRITER = '''
import os, sys
print(os.getpid(), flush=True)
open(sys.argv[1], 'w')
'''


class DeadStorageTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        folder = self.useFixture(fixtures.TempDir()).path
        device = os.path.join(folder, 'device')
        self.root = os.path.join(folder, 'root')
        os.mkdir(self.root)
        with open(device, 'wb') as file:
            file.truncate(8 << 20)
        subprocess.check_call(['mkfs.ext4', '-q', '-F', device])
        subprocess.check_call(['mount', '-o', 'loop', device, self.root])
        self.addCleanup(subprocess.check_call, ['umount', self.root])

    def _freeze(self) -> None:
        subprocess.check_call(['fsfreeze', '--freeze', self.root])
        self.addCleanup(
            subprocess.check_call, ['fsfreeze', '--unfreeze', self.root])

    def test_who_waits_for_a_tool_does_not_hang_with_it(self) -> None:
        logged = self.useFixture(fixtures.FakeLogger())
        tool = tool_module.Tool(policy_spec.StoragePolicy(
            instances_path=self.root, tool_timeout_s=1))
        pids: list[int] = []
        self.addCleanup(_wait_for, pids)
        path = pathlib.Path(self.root, 'x')
        self._freeze()
        begun = time.monotonic()

        error = self.assertRaises(
            exception.StorageFailure, tool.run,
            [sys.executable, '-c', WRITER, str(path)],
            on_line=lambda line: pids.append(int(line)))

        self.assertLess(time.monotonic() - begun, 60)
        self.assertIn('within 1 s', str(error))
        [process] = map(psutil.Process, pids)
        self.assertEqual(psutil.STATUS_DISK_SLEEP, process.status())
        self.assertIn(str(process.pid), logged.output)


def _wait_for(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while any(map(_lives, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False
