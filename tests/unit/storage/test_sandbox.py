# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
import errno
import os
import pathlib
import sys

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import sandbox
from nova_libvirt_driver.storage import tool as tool_module
from tests import base

SANDBOX = policy_spec.ToolSandbox
INTERPRETER = (sys.prefix, sys.base_prefix)


def make(mode: policy_spec.ToolSandbox) -> tool_module.Tool:
    return tool_module.Tool(policy_spec.StoragePolicy(
        instances_path='/i', tool_sandbox=mode))


def as_nobody(work: Callable[[], None]) -> int:
    """Do something as another user, in a process of its own."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sandbox.problem.cache_clear()
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class SandboxTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.tool = make(SANDBOX.REQUIRED)

    def _file(self, name: str, mode: int = 0o600) -> str:
        path = self.folder / name
        path.write_text(name)
        path.chmod(mode)
        return str(path)

    def _python(self, code: str, *arguments: str) -> str:
        return self.tool.run(
            [sys.executable, '-c', code, *arguments], reads=INTERPRETER)

    def test_it_holds_no_file_but_those_that_are_given(self) -> None:
        given, other = self._file('given'), self._file('other', 0o644)

        said = self.tool.run(['cat', given], reads=[given])

        self.assertEqual('given', said)
        for path in (other, '/etc/passwd', '/proc/self/status', '/root'):
            self.assertRaises(exception.ToolFailure, self.tool.run,
                              ['ls', path], reads=[given])

    def test_what_is_to_be_read_cannot_be_changed(self) -> None:
        path = self._file('input', 0o666)

        self.assertRaises(exception.ToolFailure, self.tool.run,
                          ['truncate', '-s', '0', path], reads=[path])
        self.assertEqual('input', pathlib.Path(path).read_text())
        self.tool.run(['truncate', '-s', '0', path], writes=[path])

        self.assertEqual('', pathlib.Path(path).read_text())

    def test_it_has_no_rights_of_the_service(self) -> None:
        said = self._python('import os; print(os.getuid(), os.getpid() < 9, '
                            'os.listdir("/proc") if os.path.exists("/proc") '
                            'else None)')

        uid = '65534' if os.geteuid() == 0 else str(os.getuid())
        self.assertEqual(f'{uid} True None\n', said)

    def test_it_has_no_network_and_no_namespaces(self) -> None:
        said = self._python(
            'import ctypes, os, socket\n'
            'libc = ctypes.CDLL(None, use_errno=True)\n'
            'for call in (lambda: libc.unshare(0x10000000),\n'
            '             lambda: libc.ptrace(0, 0, 0, 0),\n'
            '             lambda: libc.mount(b"a", b"/", b"tmpfs", 0, 0)):\n'
            '    print(call(), ctypes.get_errno())\n'
            'try:\n'
            '    socket.socket(socket.AF_UNIX)\n'
            'except PermissionError as error:\n'
            '    print(error.errno)\n')

        refused = f'-1 {errno.EPERM}\n'
        self.assertEqual(f'{refused * 3}{errno.EPERM}\n', said)

    def test_files_of_qemus_user_can_be_given(self) -> None:
        if os.geteuid() != 0:
            self.skipTest('only root can make files of other users')
        path = self._file('disk')
        os.chown(path, 12345, 12345)

        self.assertEqual('disk', self.tool.run(['cat', path], reads=[path]))
        self.tool.run(['truncate', '-s', '0', path], writes=[path])

        self.assertEqual(12345, os.stat(path).st_uid)

    def test_an_ordinary_user_has_one_as_well(self) -> None:
        if os.geteuid() != 0:
            self.skipTest('only root can become another user')
        self.folder.chmod(0o755)
        self.folder.parent.chmod(0o755)
        path, other = self._file('disk'), self._file('other', 0o644)
        os.chown(path, 65534, 65534)

        def work() -> None:
            assert self.tool.run(['cat', path], reads=[path]) == 'disk'
            try:
                self.tool.run(['cat', other], reads=[path])
            except exception.ToolFailure:
                return
            raise AssertionError(f'{other} is in the sandbox')

        self.assertEqual(0, as_nobody(work))


class FallbackTest(base.TestCase):
    """A machine on which there is no bubblewrap."""

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        programs = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (programs / 'bwrap').write_text(
            '#!/bin/sh\necho bwrap: no permission >&2\nexit 1\n')
        (programs / 'bwrap').chmod(0o755)
        self.useFixture(fixtures.EnvironmentVariable(
            'PATH', f'{programs}:{os.environ["PATH"]}'))
        sandbox.problem.cache_clear()
        self.addCleanup(sandbox.problem.cache_clear)

    def test_where_it_is_required_nothing_runs_without(self) -> None:
        error = self.assertRaises(
            exception.InvalidConfiguration, make(SANDBOX.REQUIRED).run,
            ['true'])

        self.assertIn('image_tool_sandbox', str(error))
        self.assertIn('no permission', str(error))

    def test_where_it_is_preferred_a_warning_is_given_once(self) -> None:
        for _ in range(2):
            self.assertEqual('x', make(SANDBOX.PREFERRED).run(['printf', 'x']))

        self.assertEqual(1, self.log.output.count('without a sandbox'))
        self.assertIn('doctor', self.log.output)

    def test_where_it_is_off_nothing_is_said(self) -> None:
        self.assertEqual('x', make(SANDBOX.OFF).run(['printf', 'x']))

        self.assertEqual('', self.log.output)
