# SPDX-License-Identifier: Apache-2.0

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import fixtures
import psutil

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import tool as tool_module
from tests import base

HANG = 'import os, time; print(os.getpid(), flush=True); time.sleep(600)'
DRIVER = f'''
import sys
from nova_libvirt_driver.spec import policy
from nova_libvirt_driver.storage import tool
tool.Tool(policy.StoragePolicy(instances_path='/i')).run(
    [sys.executable, '-c', {HANG!r}],
    on_line=lambda line: print(line, flush=True))
'''


def make(**limits: float) -> tool_module.Tool:
    return tool_module.Tool(policy_spec.StoragePolicy(
        instances_path='/i', **limits))  # type: ignore[arg-type]


def python(code: str) -> list[str]:
    return [sys.executable, '-c', code]


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


class ToolTest(base.TestCase):

    def assertDies(self, pid: int) -> None:
        deadline = time.monotonic() + 30
        while alive(pid):
            self.assertLess(time.monotonic(), deadline, 'still alive')
            time.sleep(0.01)

    def test_it_returns_what_was_written(self) -> None:
        self.assertEqual('a\nb\n', make().run(['printf', r'a\nb\n']))

    def test_lines_come_while_it_runs(self) -> None:
        lines: list[str] = []
        code = r'import sys; sys.stdout.write("  (1/100%)\r  (2/100%)\rx\n")'

        make().run(python(code), on_line=lines.append)

        self.assertEqual(['  (1/100%)', '  (2/100%)', 'x'], lines)

    def test_the_last_line_of_its_errors_is_the_reason(self) -> None:
        code = r'import sys; sys.exit("first\nno room\x1b[31m")'

        error = self.assertRaises(
            exception.StorageFailure, make().run, python(code))

        self.assertIn('no room?[31m', str(error))
        self.assertNotIn('first', str(error))
        self.assertIn('/i', error.next_step)

    def test_a_missing_one_is_told_with_its_package(self) -> None:
        self.useFixture(fixtures.EnvironmentVariable('PATH', '/nowhere'))
        self.useFixture(fixtures.MonkeyPatch('shutil.which', _nothing))

        for name, package in (
                ('qemu-img', 'qemu-utils'), ('mcopy', 'mtools'),
                ('mkfs.vfat', 'dosfstools'), ('mkfs.ext4', 'e2fsprogs')):
            error = self.assertRaises(
                exception.StorageFailure, tool_module.find, name)
            self.assertIn(package, str(error))

    def test_cpu_time_is_bounded(self) -> None:
        error = self.assertRaises(
            exception.StorageFailure, make().run,
            python('while True: pass'), cpu_s=1)

        self.assertTrue(re.search('SIGKILL|SIGXCPU', str(error)), error)

    def test_memory_is_bounded(self) -> None:
        code = 'bytearray(512 * 1024 * 1024); print("had it")'

        error = self.assertRaises(
            exception.StorageFailure,
            make(tool_memory_mib=256).run, python(code))

        self.assertIn('MemoryError', str(error))
        self.assertIn('had it', make(tool_memory_mib=2048).run(python(code)))

    def test_the_length_of_files_is_bounded(self) -> None:
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'x')
        line = ['truncate', '--size', '2M', path]

        error = self.assertRaises(
            exception.StorageFailure, make().run, line,
            file_bytes=1024 * 1024)

        self.assertRegex(str(error), 'SIGXFSZ|too large')
        self.assertEqual(0, os.stat(path).st_size)
        make().run(line, file_bytes=2 * 1024 * 1024)

    def test_a_command_for_images_has_to_name_a_format(self) -> None:
        for line in (['info', '/x'], ['convert', '-O', 'raw', '/x', '/y'],
                     ['create', '-b', '/x', '-F', 'raw', '/y']):
            self.assertRaises(
                ValueError, make().run, ['qemu-img', *line])

    def test_wall_clock_time_is_bounded(self) -> None:
        pids: list[str] = []

        error = self.assertRaises(
            exception.StorageFailure, make(tool_timeout_s=1).run,
            python(HANG), on_line=pids.append)

        self.assertIn('within 1 s', str(error))
        self.assertEqual([False], [alive(int(pid)) for pid in pids])

    def test_a_flood_of_output_takes_no_memory(self) -> None:
        code = 'for n in range(300): print("x" * 65536)'

        self.assertEqual(1024 * 1024, len(make().run(python(code))))

    def test_what_the_listener_raises_ends_it_with_its_children(
            self) -> None:
        code = ('import subprocess, time; '
                'p = subprocess.Popen(["sleep", "600"]); '
                'print(p.pid, flush=True); time.sleep(600)')
        for kind in (KeyboardInterrupt, exception.WrongState):
            pids: list[int] = []

            def stop(line: str) -> None:
                pids.append(int(line))
                raise KeyboardInterrupt if kind is KeyboardInterrupt else (
                    exception.WrongState(
                        tried='x', instance='y', state='being deleted'))

            with self.assertRaises(kind):  # noqa: H202
                make().run(python(code), on_line=stop)

            self.assertDies(pids[0])

    def test_it_dies_with_the_driver(self) -> None:
        driver = subprocess.Popen(python(DRIVER), stdout=subprocess.PIPE)
        self.addCleanup(driver.wait)
        self.addCleanup(driver.kill)
        assert driver.stdout is not None
        self.addCleanup(driver.stdout.close)
        pid = int(driver.stdout.readline())
        self.assertTrue(alive(pid))

        driver.send_signal(signal.SIGKILL)

        self.assertDies(pid)

    def test_it_sees_no_input_and_no_environment_of_ours(self) -> None:
        self.useFixture(fixtures.EnvironmentVariable('OS_PASSWORD', 'canary'))
        code = ('import os, sys; print(sorted(os.environ), '
                'repr(sys.stdin.read()), os.getpid() == os.getsid(0))')

        found = make().run(python(code))

        self.assertIn("['LC_ALL', 'PATH'", found)
        self.assertNotIn('OS_PASSWORD', found)
        self.assertIn("'' True", found)


def _nothing(name: str, path: str = os.defpath) -> None:
    """Find no program."""
