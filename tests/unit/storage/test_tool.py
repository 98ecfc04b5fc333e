# SPDX-License-Identifier: Apache-2.0

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import uuid

import fixtures
import psutil

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import tool as tool_module
from nova_libvirt_driver.testing import fake_ports
from tests import base

HANG = 'import time; print("begun", flush=True); time.sleep(600)'
DRIVER = '''
import sys
from nova_libvirt_driver.spec import policy
from nova_libvirt_driver.storage import tool
tool.Tool(policy.StoragePolicy(
    instances_path='/i', tool_sandbox=policy.ToolSandbox(sys.argv[2]))).run(
    [sys.executable, '-c', sys.argv[1]], reads=[sys.prefix, sys.base_prefix],
    on_line=lambda line: print(line, flush=True))
'''
CONVERTER = '''
import sys
from nova_libvirt_driver.spec import policy
from nova_libvirt_driver.storage import tool
source, target, mode = sys.argv[1:]
tool.Tool(policy.StoragePolicy(
    instances_path='/i', tool_sandbox=policy.ToolSandbox(mode))).run(
    ['qemu-img', 'convert', '-p', '-c', '-f', 'raw', '-O', 'qcow2',
     source, target], reads=[source], writes=[target],
    on_line=lambda line: print('begun', flush=True))
'''
# Begins its work only when the process that started it is dead.
LATE_SETPRIV = '''#!/bin/sh
echo $$ > "{folder}/began"
while kill -0 {parent} 2>/dev/null; do sleep 0.05; done
exec {setpriv} "$@"
'''
# The sandbox shows a program no folder of this interpreter by itself.
INTERPRETER = (sys.prefix, sys.base_prefix)
SANDBOX = policy_spec.ToolSandbox


def make(**limits: float) -> tool_module.Tool:
    return tool_module.Tool(policy_spec.StoragePolicy(
        instances_path='/i', **limits))  # type: ignore[arg-type]


def python(code: str) -> list[str]:
    return [sys.executable, '-c', code]


def running(marker: str) -> list[int]:
    """Return the processes of this machine that have a word on their line.

    A program does not know its own number on this machine.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if (marker in ' '.join(process.cmdline())
                    and process.status() != psutil.STATUS_ZOMBIE):
                found.append(process.pid)
    return found


class ToolTest(base.TestCase):

    def assertDies(self, marker: str) -> None:
        deadline = time.monotonic() + 30
        while running(marker):
            self.assertLess(time.monotonic(), deadline, 'still alive')
            time.sleep(0.01)

    def test_it_returns_what_was_written(self) -> None:
        self.assertEqual('a\nb\n', make().run(['printf', r'a\nb\n']))

    def test_lines_come_while_it_runs(self) -> None:
        lines: list[str] = []
        code = r'import sys; sys.stdout.write("  (1/100%)\r  (2/100%)\rx\n")'

        make().run(
            python(code), reads=INTERPRETER, on_line=lines.append)

        self.assertEqual(['  (1/100%)', '  (2/100%)', 'x'], lines)

    def test_the_last_line_of_its_errors_is_the_reason(self) -> None:
        code = r'import sys; sys.exit("first\nno room\x1b[31m")'

        error = self.assertRaises(
            exception.ToolFailure, make().run, python(code),
            reads=INTERPRETER)

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
            exception.ToolFailure, make().run,
            python('while True: pass'), reads=INTERPRETER, cpu_s=1)

        self.assertTrue(re.search('SIGKILL|SIGXCPU', str(error)), error)

    def test_memory_is_bounded(self) -> None:
        code = 'bytearray(512 * 1024 * 1024); print("had it")'

        # A look at an image has a limit of its own.
        for name, other, cpu_s in (
                ('tool_look_memory_mib', 'tool_memory_mib', None),
                ('tool_memory_mib', 'tool_look_memory_mib', 30)):
            error = self.assertRaises(
                exception.StorageFailure,
                make(**{name: 256, other: 2048}).run, python(code),
                reads=INTERPRETER, cpu_s=cpu_s)

            self.assertIn('MemoryError', str(error))
            self.assertIn('had it', make(**{name: 2048, other: 256}).run(
                python(code), reads=INTERPRETER, cpu_s=cpu_s))

    def test_the_length_of_files_is_bounded(self) -> None:
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'x')
        pathlib.Path(path).touch()
        line = ['truncate', '--size', '2M', path]

        error = self.assertRaises(
            exception.StorageFailure, make().run, line,
            writes=[path], file_bytes=1024 * 1024)

        self.assertRegex(str(error), 'SIGXFSZ|too large')
        self.assertEqual(0, os.stat(path).st_size)
        make().run(line, writes=[path], file_bytes=2 * 1024 * 1024)

    def test_a_command_for_images_has_to_name_a_format(self) -> None:
        for line in (['info', '/x'], ['convert', '-O', 'raw', '/x', '/y'],
                     ['create', '-b', '/x', '-F', 'raw', '/y']):
            self.assertRaises(
                ValueError, make().run, ['qemu-img', *line])

    def test_wall_clock_time_is_bounded(self) -> None:
        marker = uuid.uuid4().hex

        error = self.assertRaises(
            exception.ToolFailure, make(tool_timeout_s=1).run,
            python(f'{HANG} # {marker}'), reads=INTERPRETER)

        self.assertIn('within 1 s', str(error))
        self.assertDies(marker)

    def test_a_flood_of_output_takes_no_memory(self) -> None:
        code = 'for n in range(300): print("x" * 65536)'

        self.assertEqual(1024 * 1024, len(make().run(
            python(code), reads=INTERPRETER)))

    def test_what_the_listener_raises_ends_it_with_its_children(
            self) -> None:
        for kind in (KeyboardInterrupt, exception.WrongState):
            marker = uuid.uuid4().hex
            code = ('import subprocess, sys, time\n'
                    'child = "import time; time.sleep(600)"\n'
                    f'subprocess.Popen([sys.executable, "-c", child, '
                    f'"{marker}"])\n'
                    'print("begun", flush=True); time.sleep(600)')

            def stop(line: str) -> None:
                self.assertTrue(running(marker))
                raise KeyboardInterrupt if kind is KeyboardInterrupt else (
                    exception.WrongState(
                        tried='x', instance='y', state='being deleted'))

            with self.assertRaises(kind):  # noqa: H202
                make().run(python(code), reads=INTERPRETER, on_line=stop)

            self.assertDies(marker)

    def test_what_says_nothing_can_be_ended(self) -> None:
        marker = uuid.uuid4().hex

        def watch() -> None:
            if running(marker):
                raise exception.GaveWay(
                    tried='x', instance='y', state='being deleted')

        with self.assertRaises(exception.GaveWay):  # noqa: H202
            make().run(python(f'import time; time.sleep(600) # {marker}'),
                       reads=INTERPRETER, watch=watch)

        self.assertDies(marker)

    def test_it_dies_with_the_driver(self) -> None:
        for mode in (SANDBOX.REQUIRED, SANDBOX.OFF):
            marker = uuid.uuid4().hex
            driver = subprocess.Popen(
                [*python(DRIVER), f'{HANG} # {marker}', mode],
                stdout=subprocess.PIPE)
            self.addCleanup(driver.wait)
            self.addCleanup(driver.kill)
            assert driver.stdout is not None
            self.addCleanup(driver.stdout.close)
            self.assertEqual(b'begun\n', driver.stdout.readline())

            driver.send_signal(signal.SIGKILL)

            driver.wait()
            self.assertDies(marker)

    def convert(self, mode: str) -> tuple['subprocess.Popen[bytes]', str]:
        """Have another process convert a disk that takes half a minute."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        source, target = folder / 'source', folder / uuid.uuid4().hex
        with source.open('wb') as file:
            for _ in range(256):
                file.write(os.urandom(1 << 20))
        target.touch()
        driver = subprocess.Popen(
            [*python(CONVERTER), str(source), str(target), mode],
            stdout=subprocess.PIPE)
        self.addCleanup(driver.wait)
        self.addCleanup(driver.kill)
        assert driver.stdout is not None
        self.addCleanup(driver.stdout.close)
        return driver, str(target)

    def test_qemu_img_dies_with_the_driver(self) -> None:
        for mode in (SANDBOX.REQUIRED, SANDBOX.OFF):
            driver, target = self.convert(mode)
            assert driver.stdout is not None
            self.assertEqual(b'begun\n', driver.stdout.readline())
            self.assertGreater(len(running(target)), 1)

            driver.send_signal(signal.SIGKILL)

            driver.wait()
            self.assertDies(target)

    def test_it_does_not_begin_when_the_driver_is_dead(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        late = folder / 'setpriv'
        setpriv = tool_module.find('setpriv')
        late.write_text(LATE_SETPRIV.format(
            folder=folder, parent='$PPID', setpriv=setpriv))
        late.chmod(0o755)
        self.useFixture(fixtures.EnvironmentVariable(
            'PATH', f'{folder}:{os.environ["PATH"]}'))
        driver, target = self.convert(SANDBOX.OFF)
        fake_ports.wait_until((folder / 'began').exists, 'its start')

        driver.send_signal(signal.SIGKILL)

        driver.wait()
        self.assertDies(target)
        self.assertEqual(0, os.stat(target).st_size)

    def test_it_sees_no_input_and_no_environment_of_ours(self) -> None:
        self.useFixture(fixtures.EnvironmentVariable('OS_PASSWORD', 'canary'))
        code = ('import os, sys; print(sorted(os.environ), '
                'repr(sys.stdin.read()))')

        found = make().run(python(code), reads=INTERPRETER)

        self.assertIn("['LC_ALL', 'PATH'", found)
        self.assertNotIn('OS_PASSWORD', found)
        self.assertIn("''", found)


def _nothing(name: str, path: str = os.defpath) -> None:
    """Find no program."""
