# SPDX-License-Identifier: Apache-2.0

"""The monitor of a fake driver, asked over both ways."""

import contextlib
import http.client
import json
import os
import pathlib
import socket
import statistics
import threading
import time
import types
from typing import Any
import urllib.error
import urllib.request

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.monitoring import inquiry
from nova_libvirt_driver.monitoring import monitor
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import monitoring
from nova_libvirt_driver.testing import fake_driver
from nova_libvirt_driver.testing import fake_ports
from tests import base
from tests import free_ports
from tests.unit.monitoring import values

ROOT = pathlib.Path(__file__).parents[3]

TIMEOUT_S = 10.0


class WatchedDriver(fake_driver.FakeDriver):
    """A driver whose status is given, and that says whom it tells."""

    def __init__(self) -> None:
        super().__init__()
        self.status = values.WELL
        self.observer: Any = None

    def connection_status(self) -> connection_spec.ConnectionStatus:
        return self.status

    def observe_calls(self, observer: Any) -> None:
        self.observer = observer


class MonitorTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.path = f'{self.folder}/status.sock'
        self.driver = WatchedDriver()

    def monitor(self, **fields: Any) -> monitor.Monitor:
        made = monitor.Monitor(self.driver, monitoring.Settings(
            host='node1', service_down_grace_s=5, **fields), retry_s=0.05)
        self.addCleanup(made.stop)
        return made


class SocketTest(MonitorTestCase):

    def test_the_document_says_everything(self) -> None:
        self.driver.status = values.well(
            unresponsive=('6695eb01-f6a4',), reconnects=2,
            abandoned_calls=1, coalesced_events=7)
        self.monitor(status_socket=self.path).start()

        asked = inquiry.ask(self.path, TIMEOUT_S)

        self.assertEqual((1, 'node1', os.getpid()), (
            asked['format'], asked['host'], asked['pid']))
        self.assertEqual('degraded', asked['health']['verdict'])
        self.assertEqual(
            ['guests_quarantined', 'calls_abandoned'],
            [reason['name'] for reason in asked['health']['reasons']])
        self.assertEqual(
            ('connected', 'closed', 2, ['6695eb01-f6a4'], 7, 64, 12.5),
            tuple(asked['connection'][name] for name in (
                'state', 'breaker', 'reconnects', 'unresponsive',
                'coalesced_events', 'call_limit', 'state_age_s')))

    def test_it_follows_the_connection(self) -> None:
        self.monitor(status_socket=self.path).start()
        for status, verdict in (
                (values.WELL, 'healthy'), (values.LOST, 'degraded'),
                (values.lost(lost_for_s=9.0), 'unavailable'),
                (values.WELL, 'healthy')):
            self.driver.status = status

            asked = inquiry.ask(self.path, TIMEOUT_S)
            self.assertEqual(verdict, asked['health']['verdict'])

    def test_a_socket_that_cannot_be_made_is_a_warning(self) -> None:
        self.monitor(status_socket='/nonexistent/x.sock').start()

        self.assertIn('/nonexistent/x.sock: No such file', self.log.output)
        self.assertIn('[nova_libvirt_driver] status_socket', self.log.output)

    def test_a_socket_that_is_busy_is_tried_again(self) -> None:
        lock = locking.beside(self.folder, 'status.sock.lock')
        with locking.held(lock, TIMEOUT_S):
            self.monitor(status_socket=self.path).start()
            self.assertIn('will retry', self.log.output)

        self.assertEqual('node1', self.asked()['host'])

    def asked(self) -> dict[str, Any]:
        """Return what is told as soon as anybody answers."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return inquiry.ask(self.path, TIMEOUT_S)
            except inquiry.Absent:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)

    def test_without_any_option_nothing_is_served(self) -> None:
        self.monitor().start()

        self.assertEqual([], os.listdir(self.folder))
        self.assertEqual('', self.log.output)
        self.assertIsNone(self.driver.observer)

    def test_a_driver_that_says_nothing_is_not_told_of(self) -> None:
        watched = monitor.Monitor(
            types.SimpleNamespace(), monitoring.Settings(  # type: ignore
                host='node1', status_socket=self.path))

        watched.start()
        watched.stop()

        self.assertEqual([], os.listdir(self.folder))


class MetricsTest(MonitorTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.port = free_ports.first_of(1)

    def start(self, address: str = '127.0.0.1') -> monitor.Monitor:
        made = self.monitor(metrics_listen=address, metrics_port=self.port)
        made.start()
        return made

    def get(self, path: str,
            address: str = '127.0.0.1') -> tuple[int, str, str]:
        """Return status, content type and body of a page."""
        url = f'http://{address}:{self.port}{path}'
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as page:
                return (page.status, page.headers['Content-Type'],
                        page.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return (error.code, error.headers['Content-Type'],
                        error.read().decode())

    def samples(self) -> dict[str, float]:
        code, kind, text = self.get('/metrics')
        self.assertEqual(200, code)
        self.assertIn('text/plain', kind)
        return {name: float(value) for name, _, value in (
            line.rpartition(' ') for line in text.splitlines()
            if not line.startswith('#'))}

    def test_the_present_state_is_read_at_each_scrape(self) -> None:
        self.start()
        samples = self.samples()
        self.assertEqual((0, 1, 0, 64), tuple(
            samples[f'nova_libvirt_{name}'] for name in (
                'health', 'connected', 'breaker_open', 'calls_limit')))

        self.driver.status = values.lost(
            lost_for_s=9.0, reconnects=3, running_calls=5, abandoned_calls=4,
            unresponsive=('a', 'b'), queued_events=6, coalesced_events=8)
        samples = self.samples()

        self.assertEqual((2, 0, 1, 3, 5, 4, 2, 6, 8), tuple(
            samples[f'nova_libvirt_{name}'] for name in (
                'health', 'connected', 'breaker_open', 'reconnects_total',
                'calls_running', 'calls_abandoned', 'guests_quarantined',
                'events_queued', 'events_coalesced_total')))
        self.assertEqual(1, samples[
            'nova_libvirt_health_reason{reason="no_connection"}'])

    def test_verbs_and_calls_are_measured(self) -> None:
        self.start()

        self.driver.list_instances()
        self.driver.connected = False
        self.assertRaises(exception.HypervisorUnavailable,
                          self.driver.list_instances)
        self.driver.observer.call('getInfo', 'ok', 0.2)

        samples = self.samples()
        for outcome in ('ok', 'HypervisorUnavailable'):
            self.assertEqual(1, samples[
                'nova_libvirt_verb_duration_seconds_count'
                f'{{outcome="{outcome}",verb="list_instances"}}'])
        self.assertEqual(0.2, samples[
            'nova_libvirt_call_duration_seconds_sum'
            '{call="getInfo",outcome="ok"}'])

    def test_every_metric_is_in_the_manual(self) -> None:
        self.start()
        self.guests()
        self.driver.status = values.well(abandoned_calls=1)
        manual = (ROOT / 'doc/source/admin/monitoring.rst').read_text()

        names = {line.split()[2] for line in self.get(
            '/metrics')[2].splitlines() if line.startswith('# TYPE')}

        self.assertLess(12, len(names))
        self.assertEqual(set(), {
            name for name in names if not name.endswith('_created')
            and f'``{name}``' not in manual})

    def test_health_is_a_page_too(self) -> None:
        self.start()
        for status, code, verdict in (
                (values.WELL, 200, 'healthy'),
                (values.LOST, 200, 'degraded'),
                (values.lost(lost_for_s=None), 503, 'unavailable')):
            self.driver.status = status

            found, kind, text = self.get('/health?full')

            self.assertEqual(
                (code, 'application/json', verdict),
                (found, kind, json.loads(text)['health']['verdict']))

    def test_it_is_answered_in_no_time(self) -> None:
        self.start()
        took_s = []
        for _ in range(15):
            begun = time.monotonic()
            self.get('/health')
            took_s.append(time.monotonic() - begun)

        self.assertLess(statistics.median(took_s), 0.1)

    def test_other_pages_are_not_there(self) -> None:
        self.start()

        self.assertEqual(404, self.get('/nothing')[0])

    def test_the_first_page_says_what_is_there(self) -> None:
        self.start()

        code, kind, text = self.get('/')

        self.assertEqual((200, 'text/plain; charset=utf-8'), (code, kind))
        for word in ('node1', '/metrics', '/health'):
            self.assertIn(word, text)

    def guests(self) -> dict[str, float]:
        """Return what there is of guests, as soon as there is something."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            found = {name: value for name, value in self.samples().items()
                     if name.startswith('nova_libvirt_guest_')}
            if found:
                return found
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_each_guest_has_figures(self) -> None:
        self.start()
        guest = fake_driver.GUEST
        labels = f'name="web1",uuid="{guest.uuid}"'

        found = self.guests()

        self.assertEqual((2.0, 2, 2048 << 20, 512, 64, 1), tuple(
            found[f'nova_libvirt_guest_{name}'] for name in (
                f'vcpu_seconds_total{{{labels}}}', f'vcpus{{{labels}}}',
                f'memory_bytes{{{labels}}}',
                f'disk_read_bytes_total{{disk="vda",{labels}}}',
                f'network_receive_bytes_total{{interface="tap0",{labels}}}',
                f'state{{name="web1",state="running",uuid="{guest.uuid}"}}')))
        # What libvirt does not say is not there.
        self.assertEqual([], [name for name in found if (
            'memory_used' in name or 'disk_errors' in name)])

    def test_a_guest_that_is_gone_has_no_figures(self) -> None:
        self.start()
        self.guests()

        self.driver.instances = []

        fake_ports.wait_until(
            lambda: list(self.guests()) == [
                'nova_libvirt_guest_figures_age_seconds'], 'no guests')

    def test_figures_grow_old_while_libvirt_is_away(self) -> None:
        self.start()
        self.guests()
        self.driver.connected = False
        name = 'nova_libvirt_guest_figures_age_seconds'

        fake_ports.wait_until(
            lambda: self.guests()[name] > 0.3, 'older figures')

    def test_figures_that_hang_hold_up_no_scrape(self) -> None:
        ended = threading.Event()
        self.addCleanup(ended.set)
        self.driver.get_guest_figures = ended.wait  # type: ignore
        self.start()

        for _ in range(10):
            self.assertLess(self.scrape_s(), 3)

    def test_figures_of_guests_can_be_left_out(self) -> None:
        made = self.monitor(metrics_port=self.port, guest_metrics=False)
        made.start()
        for _ in range(3):
            self.assertEqual([], [
                name for name in self.samples() if '_guest_' in name])

    def connect(self, first: bytes = b'') -> socket.socket:
        client = socket.create_connection(
            ('127.0.0.1', self.port), timeout=TIMEOUT_S)
        self.addCleanup(client.close)
        client.sendall(first)
        return client

    def scrape_s(self) -> float:
        """Return how long a scrape takes."""
        begun = time.monotonic()
        self.assertEqual(200, self.get('/metrics')[0])
        return time.monotonic() - begun

    def test_slow_clients_hold_up_no_scrape(self) -> None:
        self.start()
        for first in (b'', b'G', b'GET /metrics HTTP/1.0\r\nA: b',
                      b'POST /metrics HTTP/1.0\r\nContent-Length: 9\r\n'):
            for _ in range(100):
                self.connect(first)

            self.assertLess(self.scrape_s(), 3)

    def test_clients_that_do_not_read_hold_up_no_scrape(self) -> None:
        self.start()
        for _ in range(200):
            self.connect(b'GET /metrics HTTP/1.0\r\n\r\n')

        self.assertLess(self.scrape_s(), 3)

    def test_a_request_has_a_deadline_as_a_whole(self) -> None:
        self.start()
        client = self.connect(b'GET /')
        client.settimeout(0.3)
        begun = time.monotonic()

        # Each byte comes in time.
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - begun < 2 * TIMEOUT_S:
                client.send(b'a')
                with contextlib.suppress(TimeoutError):
                    if not client.recv(1):
                        break

        self.assertLess(time.monotonic() - begun, TIMEOUT_S)

    def test_a_request_may_come_in_pieces(self) -> None:
        self.start()
        client = self.connect()
        for piece in (b'GE', b'T /health HT', b'TP/1.1\r\nA: b\r', b'\n\r\n'):
            client.sendall(piece)
            time.sleep(0.02)

        self.assertIn(b' 200 ', client.makefile('rb').readline())

    def test_an_answer_reaches_a_client_that_goes_on_sending(self) -> None:
        self.start()
        client = self.connect(
            b'POST /health HTTP/1.0\r\n\r\n' + b'x' * 200_000)

        self.assertIn(b' 501 ', client.makefile('rb').readline())

    def test_a_head_without_an_end_is_refused(self) -> None:
        self.start()
        client = self.connect(b'GET / HTTP/1.0\r\n' + b'A: b\r\n' * 5000)

        self.assertIn(b' 431 ', client.makefile('rb').readline())

    def test_a_page_that_cannot_be_made_spoils_no_other(self) -> None:
        self.start()
        del self.driver.status
        for _ in range(10):
            self.assertRaises(
                (OSError, http.client.HTTPException), self.get, '/health')

        self.driver.status = values.WELL

        self.assertEqual(200, self.get('/health')[0])
        self.assertIn('could not be answered', self.log.output)

    def test_it_listens_on_ipv6_too(self) -> None:
        try:
            socket.create_server(('::1', 0), family=socket.AF_INET6).close()
        except OSError as error:
            self.skipTest(f'no IPv6 here: {error}')
        self.start('::1')

        self.assertEqual(200, self.get('/health', '[::1]')[0])

    def test_its_end_gives_everything_back(self) -> None:
        made = self.start()

        made.stop()

        self.assertIsNone(self.driver.observer)
        self.assertNotIn('list_instances', vars(self.driver))
        socket.create_server(('127.0.0.1', self.port)).close()

    def test_a_port_that_is_taken_is_a_warning(self) -> None:
        with socket.create_server(('127.0.0.1', self.port)):
            self.start()

        self.assertIn(f'127.0.0.1 port {self.port}: ', self.log.output)
        self.assertIn('in use', self.log.output)
        self.eventually_scraped()

    def eventually_scraped(self) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                return self.assertEqual(200, self.get('/metrics')[0])
            except urllib.error.URLError:
                time.sleep(0.02)
        self.fail('the port is not served')

    def test_a_missing_package_is_named(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'importlib.util.find_spec', lambda name: None))

        error = self.assertRaises(
            exception.InvalidConfiguration, self.start)

        self.assertIn('pip install nova-libvirt-driver[metrics]',
                      str(error))

    def test_without_metrics_the_package_is_not_needed(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'importlib.util.find_spec', lambda name: None))

        self.monitor(status_socket=self.path).start()

        self.assertTrue(inquiry.ask(self.path, TIMEOUT_S))
