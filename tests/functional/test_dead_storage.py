# SPDX-License-Identifier: Apache-2.0

"""Storage that does not answer: what waits for it cannot be killed."""

import contextlib
import ctypes
import os
import pathlib
import subprocess
import time

import fixtures
import psutil

from nova_libvirt_driver.calls import calls
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import record
from nova_libvirt_driver.storage import survey
from nova_libvirt_driver.storage import tool as tool_module
from nova_libvirt_driver.testing import fake_ports
from tests import base


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

    def write_to_what_does_not_answer(self, sandbox: str) -> None:
        """Have a tool hang within the kernel, and check that we do not."""
        logged = self.useFixture(fixtures.FakeLogger())
        tool = tool_module.Tool(policy_spec.StoragePolicy(
            instances_path=self.root, tool_timeout_s=3,
            tool_sandbox=policy_spec.ToolSandbox(sandbox)))
        path = pathlib.Path(self.root, 'x')
        path.touch()
        self.addCleanup(
            fake_ports.wait_until, lambda: not _processes(path), 'their end')
        self._freeze()
        begun = time.monotonic()

        error = self.assertRaises(
            exception.StorageFailure, tool.run,
            ['truncate', '--size=1', str(path)], writes=[str(path)])

        self.assertLess(time.monotonic() - begun, 60)
        self.assertIn('within 3 s', str(error))
        [process] = _processes(path)
        self.assertEqual(psutil.STATUS_DISK_SLEEP, process.status())
        self.assertRegex(
            logged.output, rf'Processes: (\d+, )*{process.pid}\b')

    def test_who_waits_for_a_tool_does_not_hang_with_it(self) -> None:
        self.write_to_what_does_not_answer('off')

    def test_who_waits_for_a_sandbox_does_not_hang_with_it(self) -> None:
        self.write_to_what_does_not_answer('required')


class DeadFolderTest(base.TestCase):
    """A file system in user space whose server never answers."""

    def setUp(self) -> None:
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.log = self.useFixture(fixtures.FakeLogger())
        self.calls = calls.make(host='here', limit=4)
        self.survey = survey.Survey(
            str(self.path), str(self.path / '_base'), self.calls,
            timeout_s=7, max_age_s=0)
        for number in range(3):
            folder = self.path / f'guest{number}'
            folder.mkdir()
            disk = folder / 'disk'
            disk.touch()
            os.truncate(disk, (number + 1) << 20)
            record.write(str(folder / 'disk.info'), str(disk), 'raw')

    def kill(self, folder: pathlib.Path) -> None:
        """Let a folder be one that answers nobody, until :meth:`revive`."""
        self.server = os.open('/dev/fuse', os.O_RDWR)
        self.dead = folder
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b'dead', bytes(folder), b'fuse', 0, (
                f'fd={self.server},rootmode=40000,user_id=0,group_id=0'
                ).encode()):
            raise OSError(ctypes.get_errno(), 'mount')
        self.addCleanup(self.revive)

    def revive(self) -> None:
        if self.server < 0:
            return
        # Whoever waits gets an error.
        os.close(self.server)
        self.server = -1
        subprocess.check_call(['umount', '--lazy', str(self.dead)])

    def test_a_folder_that_hangs_costs_itself_only(self) -> None:
        before = self.survey.take().growth_bytes
        self.assertEqual(6 << 20, before)
        self.kill(self.path / 'guest1')
        os.truncate(self.path / 'guest2' / 'disk', 7 << 20)
        begun = time.monotonic()

        self.assertEqual(10 << 20, self.survey.take().growth_bytes)

        self.assertLess(time.monotonic() - begun, 60)
        self.assertIn('guest1 do not answer within 1 s', self.log.output)
        self.assertEqual(1, self.calls.budget.abandoned)
        # The next ones do not even try.
        self.survey.take()
        self.assertEqual(1, self.calls.budget.abandoned)

        self.revive()
        fake_ports.wait_until(
            lambda: not self.calls.budget.abandoned, 'the thread to come back')
        self.assertEqual(10 << 20, self.survey.take().growth_bytes)

    def test_the_folder_of_the_instances_hangs(self) -> None:
        self.kill(self.path)

        error = self.assertRaises(
            exception.StorageFailure, self.survey.take)

        self.assertIn('does not answer within 1 s', str(error))

    def test_a_sandbox_for_a_folder_that_hangs_ends(self) -> None:
        tool = tool_module.Tool(policy_spec.StoragePolicy(
            instances_path=str(self.path), tool_timeout_s=1,
            tool_sandbox=policy_spec.ToolSandbox.REQUIRED))
        disk = self.path / 'guest1' / 'disk'
        self.kill(disk.parent)
        begun = time.monotonic()

        error = self.assertRaises(
            exception.StorageFailure, tool.run, ['cat', str(disk)],
            reads=[str(disk)])

        self.assertLess(time.monotonic() - begun, 60)
        self.assertIn('within 1 s', str(error))
        fake_ports.wait_until(lambda: not _processes(disk), 'its end')


def _processes(path: pathlib.Path) -> list[psutil.Process]:
    """Return what runs with a path on its command line."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            if str(path) in process.cmdline() and (
                    process.status() != psutil.STATUS_ZOMBIE):
                found.append(process)
    return found
