# SPDX-License-Identifier: Apache-2.0

"""The service around a driver that needs no hypervisor."""

from collections.abc import Iterator
import contextlib
import io
import json
import socket
import threading
import time

import fixtures

from nova_libvirt_driver.compute import audit
from nova_libvirt_driver.compute import configuration
from nova_libvirt_driver.compute import control
from nova_libvirt_driver.compute import record
from nova_libvirt_driver.compute import service
from nova_libvirt_driver.compute import show
from nova_libvirt_driver import exception
from nova_libvirt_driver.messaging import notifier
from nova_libvirt_driver.monitoring import inquiry
from nova_libvirt_driver.monitoring import monitor
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import monitoring
from nova_libvirt_driver.testing import fake_driver
from nova_libvirt_driver.testing import fake_ports
from tests import base

STOP = control.StopRequest('SIGTERM')


class HostedTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.record = record.ServiceRecordFile(self.folder, 'node1')
        self.notifier = notifier.OsloNotifier('node1', self.config.conf)
        self.notifier.check()
        self.driver = fake_driver.FakeDriver(ports.VirtAPI(
            notifier=self.notifier, service_state=self.record))
        self.socket_path = f'{self.folder}/status.sock'
        self.reloads: list[int] = []
        self.service = service.ComputeService(
            'node1', self.driver, record=self.record,
            notifier=self.notifier, control=control.Control(),
            audit=audit.PeriodicAudit(self.driver, 60),
            monitor=monitor.Monitor(self.driver, monitoring.Settings(
                host='node1', status_socket=self.socket_path)),
            reload=lambda: self.reloads.append(1))
        self.addCleanup(self.service.stop)

    def put(self, message: control.Message) -> None:
        self.service.control.put(message)


class ServiceTestCase(HostedTestCase):

    def test_starts_the_driver_and_ends_it_once(self) -> None:
        self.service.start()
        self.put(control.ReloadRequest())
        self.put(STOP)
        self.service.wait()
        self.service.stop()
        self.service.stop()

        self.assertEqual(['init_host', 'cleanup_host'], self.driver.calls)
        self.assertEqual([1], self.reloads)

    def test_says_what_it_is_connected_to(self) -> None:
        self.service.start()

        self.assertIn('connected to fake:///', self.log.output)
        self.assertTrue(self.record.load().enabled)

    def test_starts_without_a_hypervisor_and_says_so(self) -> None:
        self.driver.connected = False

        self.service.start()

        self.assertIn('not connected to fake:///: the fake is disconnected',
                      self.log.output)
        self.assertEqual('driver', self.record.load().disabled_by)

    def test_lifecycle_events_become_notifications(self) -> None:
        self.service.start()

        self.driver.happen(event_spec.Transition.STOPPED)

        self.assertIn('compute.instance.stopped', self.log.output)

    def test_its_status_is_plain_json_also_without_a_hypervisor(
            self) -> None:
        for connected in (True, False):
            self.driver.connected = connected

            status = self.service.status()

            self.assertEqual(status, json.loads(json.dumps(status)))
            self.assertEqual('node1', status['service']['host'])
            self.assertEqual('fake:///', status['connection']['uri'])
            self.assertEqual(
                'healthy' if connected else 'unavailable',
                status['health']['verdict'])

    def test_it_can_be_asked_how_it_is_from_start_to_stop(self) -> None:
        self.service.start()
        asked = inquiry.ask(self.socket_path, 10)
        self.service.stop()

        self.assertEqual(('node1', 'healthy', 'fake:///'), (
            asked['host'], asked['health']['verdict'],
            asked['connection']['uri']))
        self.assertRaises(
            inquiry.NoAnswer, inquiry.ask, self.socket_path, 10)

    def test_a_driver_that_hangs_delays_neither_start_nor_stop(self) -> None:
        gate = threading.Event()
        self.addCleanup(gate.set)
        for verb in ('init_host', 'cleanup_host', 'get_host_facts'):
            self.useFixture(fixtures.MockPatchObject(
                self.driver, verb, side_effect=lambda *_: gate.wait(60)))
        begun = time.monotonic()

        self.service.start()
        self.service.stop()

        self.assertLess(time.monotonic() - begun, 30)
        self.assertIn('the driver did not stop in time', self.log.output)

    def test_a_driver_that_cannot_start_ends_the_service(self) -> None:
        failure = exception.InvalidConfiguration(reason='no such thing')
        self.useFixture(fixtures.MockPatchObject(
            self.driver, 'init_host', side_effect=failure))

        self.assertRaises(
            exception.InvalidConfiguration, self.service.start)

    def test_systemd_is_told(self) -> None:
        path = f'{self.folder}/notify'
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind(path)
        self.useFixture(fixtures.EnvironmentVariable('NOTIFY_SOCKET', path))

        self.service.start()
        self.service.stop()

        listener.setblocking(False)
        self.assertEqual(
            [b'STATUS=connected to fake:///', b'READY=1',
             b'STOPPING=1\nSTATUS=stopping'],
            [listener.recv(4096) for _ in range(3)])


class ShowTestCase(HostedTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.stream = io.StringIO()

    def show(self, *, once: bool) -> tuple[show.Show, str]:
        showing = show.Show(
            self.service,
            configuration.Mode(show=True, once=once, demo=False),
            self.stream)
        self.service.watch = self.put
        self.service.start()
        showing.run()
        return showing, self.stream.getvalue()

    def test_once_shows_everything_and_ends(self) -> None:
        _, text = self.show(once=True)

        self.assertIn('Connected to fake:///', text)
        self.assertIn('web1', text)
        self.assertNotIn('Ctrl-C', text)

    def test_once_without_a_hypervisor_is_an_error(self) -> None:
        self.driver.connected = False

        self.assertRaises(
            exception.HypervisorUnavailable, self.show, once=True)

    def test_events_are_shown_until_the_end_is_asked_for(self) -> None:
        thread = threading.Thread(target=self._happen_and_stop)
        thread.start()

        showing, text = self.show(once=False)

        thread.join()
        self.assertIn('web1  stopped', text)
        self.assertEqual('SIGTERM', showing.interrupted)

    def _happen_and_stop(self) -> None:
        with self._ended():
            self._shown('Events, until')
            self.driver.happen(event_spec.Transition.STOPPED)

    @contextlib.contextmanager
    def _ended(self) -> Iterator[None]:
        """Ask for the end afterwards, also when something is not shown."""
        try:
            yield
        finally:
            self.put(STOP)

    def _shown(self, words: str) -> None:
        fake_ports.wait_until(
            lambda: words in self.stream.getvalue(), words)

    def test_a_lost_and_found_connection_is_shown(self) -> None:
        thread = threading.Thread(target=self._lose_and_find)
        thread.start()

        _, text = self.show(once=False)

        thread.join()
        self.assertIn('connection lost: the fake is disconnected', text)
        self.assertIn('connected to fake:/// again', text)

    def _lose_and_find(self) -> None:
        with self._ended():
            self._shown('Events, until')
            self.driver.connected = False
            self._shown('connection lost')
            self.driver.connected = True
            self._shown('connected to fake:/// again')
