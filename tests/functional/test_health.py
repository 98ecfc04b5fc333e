# SPDX-License-Identifier: Apache-2.0

"""Whoever asks how the service is gets an answer while libvirt hangs."""

import json
import os
import pathlib
import re
import signal
import statistics
import threading
import time
from typing import Any
import urllib.error
import urllib.request

import fixtures
from testtools import content

from nova_libvirt_driver import exception
from nova_libvirt_driver.monitoring import inquiry
from nova_libvirt_driver.monitoring import monitor
from nova_libvirt_driver.spec import monitoring
from nova_libvirt_driver.testing import fake_ports
from tests import free_ports
from tests.functional import base
from tests.functional import process

wait_until = fake_ports.wait_until

GOAL_S = 0.1
"""The median of all answers; single ones may be late on a busy machine."""

LIMIT_S = 60.0
PAUSE_S = 0.05
LOOKERS = 8


class HangTestCase(base.PrivateHostTestCase):

    path = ''

    def setUp(self) -> None:
        super().setUp()
        self.took_s: list[float] = []

    def ask(self) -> dict[str, Any]:
        begun = time.monotonic()
        answer = inquiry.ask(self.path, LIMIT_S)
        self.took_s.append(time.monotonic() - begun)
        return answer

    def verdict(self) -> str:
        return str(self.ask()['health']['verdict'])

    def wait_for(self, verdict: str) -> None:
        """Ask until the verdict is this one."""
        deadline = time.monotonic() + LIMIT_S
        while self.verdict() != verdict:
            self.assertLess(time.monotonic(), deadline, self.ask())
            time.sleep(PAUSE_S)

    def stop_daemon(self) -> None:
        """Let the daemon hang."""
        self.host.kill_daemon(signal.SIGSTOP)
        self.addCleanup(self.host.resume_daemon)

    def go_on(self) -> int:
        """Let the daemon go on; return how often one may reconnect.

        Each crash of it, see :meth:`libvirtd.PrivateHost.resume_daemon`,
        may cost a connection that was just made.
        """
        known = len(self.host.crashes)
        self.host.resume_daemon()
        return 1 + len(self.host.crashes) - known

    def assert_answered_in_time(self) -> None:
        median_s = statistics.median(self.took_s)
        figures = (
            f'{len(self.took_s)} answers, median {median_s * 1e3:.1f} ms, '
            f'longest {max(self.took_s) * 1e3:.1f} ms')
        self.addDetail('answers', content.text_content(figures))
        self.assertGreater(len(self.took_s), 50)
        self.assertLess(median_s, GOAL_S, figures)


class DriverHangTest(HangTestCase):
    """In the process of a driver; in eventlet mode on its hub."""

    def setUp(self) -> None:
        super().setUp()
        folder = self.useFixture(fixtures.TempDir()).path
        self.path = f'{folder}/status.sock'
        self.driver = self.make_driver(self.host.uri, look_timeout=2)
        watched = monitor.Monitor(self.driver, monitoring.Settings(
            host='here', status_socket=self.path,
            service_down_grace_s=base.FAST['service_down_grace']))
        self.addCleanup(watched.stop)
        watched.start()

    def look(self) -> None:
        """Have threads inside libvirt until the end of the test."""
        ended = threading.Event()

        def run() -> None:
            while not ended.is_set():
                try:
                    self.driver.list_instances()
                except exception.DriverError:
                    time.sleep(PAUSE_S)

        threads = [threading.Thread(target=run) for _ in range(LOOKERS)]
        for thread in threads:
            self.addCleanup(thread.join)
            thread.start()
        self.addCleanup(ended.set)

    def test_the_socket_answers_while_calls_hang(self) -> None:
        self.assertEqual('unavailable', self.verdict())
        self.driver.init_host('here')
        self.assertEqual('healthy', self.verdict())
        self.look()

        self.stop_daemon()
        self.wait_for('unavailable')
        for _ in range(50):
            self.assertEqual('unavailable', self.verdict())
        wait_until(lambda: self.ask()['connection']['breaker'] == 'open',
                   'an attempt to fail', timeout_s=LIMIT_S)
        hung = self.ask()['connection']
        most = self.go_on()
        self.wait_for('healthy')

        self.assertTrue(hung['last_error'])
        self.assertIn(
            self.ask()['connection']['reconnects'], range(1, most + 1))
        self.assert_answered_in_time()


class ServiceHangTest(HangTestCase, process.ServiceTestCase):
    """A service, asked by the command and over HTTP as well."""

    def setUp(self) -> None:
        super().setUp()
        self.path = f'{self.state_path}/nova-libvirt-{process.HOST}.sock'
        self.port = free_ports.first_of(1)

    def start_service(self) -> process.Service:
        service = self.run_service(
            '--config-file', self.configure(
                '[nova_libvirt_driver]', f'metrics_port = {self.port}',
                'audit_interval = 1',
                *(f'{name} = {value}' for name, value in base.FAST.items())),
            '--uri', self.host.uri)
        service.wait_for('connected to')
        return service

    def health(self) -> tuple[int, str]:
        """Return the exit code and the verdict of ``health``."""
        done = self.run_client('health', '-f', 'json')
        return done.returncode, json.loads(done.stdout)['verdict']

    def get(self, page: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                    f'http://127.0.0.1:{self.port}{page}',
                    timeout=LIMIT_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def test_a_daemon_that_hangs_and_goes_on(self) -> None:
        service = self.start_service()
        self.assertEqual((0, 'healthy'), self.health())
        self.assertEqual(200, self.get('/health')[0])

        self.stop_daemon()
        self.wait_for('unavailable')
        for _ in range(50):
            self.ask()
        self.assertEqual((2, 'unavailable'), self.health())
        self.assertEqual(503, self.get('/health')[0])
        self.assertIn('\nnova_libvirt_connected 0.0\n',
                      self.get('/metrics')[1])
        most = self.go_on()
        self.wait_for('healthy')

        self.assertEqual((0, 'healthy'), self.health())
        text = self.get('/metrics')[1]
        found, = re.findall(r'\nnova_libvirt_reconnects_total (\S+)\n', text)
        self.assertIn(float(found), range(1, most + 1))
        for name in ('call="list the guests",outcome="ok"',
                     'outcome="ok",verb="get_available_resource"'):
            self.assertIn(name, text)
        self.assert_answered_in_time()
        self.stop(service, signal.SIGTERM)
        self.assertFalse(os.path.exists(self.path))
        self.assertEqual((2, 'unavailable'), self.health())

    def test_what_a_killed_service_left_is_replaced(self) -> None:
        service = self.start_service()
        service.stop()
        self.assertTrue(pathlib.Path(self.path).is_socket())
        self.assertEqual((2, 'unavailable'), self.health())

        self.start_service()

        self.assertEqual((0, 'healthy'), self.health())
