# SPDX-License-Identifier: Apache-2.0

"""Runs the real service as a process, and the real client beside it."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import fixtures

from tests import base

PROGRAM = ('-c', 'import sys\n'
           'from nova_libvirt_driver.compute import command\n'
           'sys.exit(command.main())')
NO_DAEMON = 'qemu+unix:///system?socket=/nonexistent/libvirt-sock'
TIMEOUT_S = 180.0
SOON_S = 30.0
"""What a process that waits for nothing may take to end on a busy machine.
What it could wait for by mistake takes a minute, or for ever."""
POLL_S = 0.05
HOST = 'node1'


class Service:
    """One process of the service, and what it has written."""

    def __init__(
            self, folder: str, arguments: tuple[str, ...],
            environ: dict[str, str]) -> None:
        self._folder = pathlib.Path(folder)
        self.began = time.monotonic()
        with open(self._folder / 'out', 'wb') as out, open(
                self._folder / 'err', 'wb') as err:
            self.process = subprocess.Popen(
                [sys.executable, *PROGRAM, *arguments], stdout=out,
                stderr=err, stdin=subprocess.DEVNULL, env=environ)

    @property
    def out(self) -> str:
        return (self._folder / 'out').read_text()

    @property
    def err(self) -> str:
        return (self._folder / 'err').read_text()

    def wait(self) -> int:
        return self.process.wait(TIMEOUT_S)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def wait_for(self, text: str) -> float:
        """Wait until it has written the text; return how long that took."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            if text in self.out + self.err:
                return time.monotonic() - self.began
            if self.process.poll() is not None:
                break
            time.sleep(POLL_S)
        raise AssertionError(f'{text!r} is not in:\n{self.out}{self.err}')


class ServiceTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.state_path = os.path.join(self.folder, 'state')
        self.environ = {**os.environ, 'XDG_STATE_HOME': self.folder}
        self.environ.pop('NOTIFY_SOCKET', None)

    def configure(self, *lines: str) -> str:
        path = os.path.join(self.folder, 'service.conf')
        pathlib.Path(path).write_text('\n'.join(
            ('[libvirt]', 'connection_uri = test:///default',
             '[DEFAULT]', f'host = {HOST}',
             f'state_path = {self.state_path}', *lines)) + '\n')
        return path

    def run_service(self, *arguments: str) -> Service:
        folder = self.useFixture(fixtures.TempDir()).path
        service = Service(folder, arguments, self.environ)
        self.addCleanup(service.stop)
        return service

    def run_configured(self, *arguments: str) -> Service:
        return self.run_service(
            '--config-file', self.configure(), *arguments)

    def stop(self, service: Service, number: signal.Signals) -> float:
        begun = time.monotonic()
        service.process.send_signal(number)
        self.assertEqual(0, service.wait(), service.err)
        return time.monotonic() - begun

    def start_limit_s(self) -> float:
        """Return what a start that waits for nothing may take now.

        Python alone takes half a minute where the machine is busy enough.
        """
        service = self.run_service('--help')
        service.wait()
        return SOON_S + 3 * (time.monotonic() - service.began)

    def record(self) -> dict[str, object]:
        path = pathlib.Path(self.state_path, f'service-{HOST}.json')
        content: dict[str, object] = json.loads(path.read_text())
        return content

    def run_client(
            self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``nova-libvirt`` on the configuration of the service."""
        return subprocess.run(
            [*self.client_command(), *arguments], capture_output=True,
            text=True, timeout=TIMEOUT_S, check=False)

    def client_command(self) -> list[str]:
        """Return the command line of ``nova-libvirt``, without a command."""
        path = os.path.join(self.folder, 'service.conf')
        return [sys.executable, '-m', 'nova_libvirt_driver.cli',
                '--config-file', path]
