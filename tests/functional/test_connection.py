# SPDX-License-Identifier: Apache-2.0

"""The connection against a real libvirtd that is killed and hung."""

import contextlib
import gc
import os
import signal
import threading
import time
from typing import Any

import libvirt

from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fixtures
from tests.functional import base

wait_until = fake_ports.wait_until
_State = connection_spec.ConnectionState


def _open_files() -> list[str]:
    """Return what each open file is, without the one that lists them."""
    found = []
    for number in os.listdir('/proc/self/fd'):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f'/proc/self/fd/{number}'))
    return sorted(found)


def _connections() -> int:
    gc.collect()
    return sum(type(item) is libvirt.virConnect
               for item in gc.get_objects())


class ConnectTest(base.PrivateHostTestCase):

    def test_connects_with_keepalive_and_events(self) -> None:
        driver = self.make_driver(self.host.uri)

        version = driver._conn.getLibVersion()

        status = driver.connection_status()
        self.assertGreater(version, 8_000_000)
        self.assertEqual(_State.CONNECTED, status.state)
        self.assertTrue(status.events)
        self.assertTrue(status.keepalive)
        self.assertEqual(
            [True], [enabled for _, enabled, _ in self.service_state.calls])

    def test_a_read_only_connection_refuses_to_write(self) -> None:
        self.start_guest('looked-at')
        driver = self.make_driver(self.host.read_only_uri, read_only=True)

        domain: Any = driver._conn.listAllDomains()[0]
        error = self.assertRaises(libvirt.libvirtError, domain.destroy)

        self.assertIn('read only', str(error))
        self.assertEqual(['looked-at'], driver.list_instances())

    def test_events_of_a_real_guest_arrive_in_order(self) -> None:
        driver = self.make_driver(self.host.uri)
        driver.init_host('here')

        self.start_guest('lively')
        self.host.virsh('suspend', 'lively')
        self.host.virsh('resume', 'lively')
        self.host.virsh('destroy', 'lively')

        expected = ['started', 'paused', 'resumed', 'stopped']
        wait_until(
            lambda: self.listener.transitions('lively') == expected,
            f'{expected}, got {self.listener.transitions("lively")}')

    def test_fifty_callers_share_one_connect(self) -> None:
        driver = self.make_driver(self.host.uri)

        results = fake_ports.run_threads([driver.list_instances] * 50)

        self.assertEqual([[]] * 50, results)
        self.assertEqual(1, driver.connection_status().generation)

    def test_a_raising_listener_gets_the_next_event(self) -> None:
        driver = self.make_driver(self.host.uri)

        def listener(item: event.LifecycleEvent) -> None:
            self.listener(item)
            raise ValueError('a fault of the listener')

        driver.register_event_listener(listener)
        driver.init_host('here')
        self.start_guest('raising')
        self.host.virsh('destroy', 'raising')

        wait_until(lambda: self.listener.transitions('raising')
                   == ['started', 'stopped'], 'both events')
        self.assertEqual(['connected'],
                         [driver.connection_status().state])


class ImpatientDaemonTest(base.DriverTestCase):
    """A daemon that drops a client which does not answer for 3 s."""

    def setUp(self) -> None:
        super().setUp()
        self.host = self.useFixture(fixtures.PrivateHost(
            'impatient', libvirtd={
                'keepalive_interval': 1, 'keepalive_count': 2})).host

    def test_a_blocking_listener_holds_up_its_own_guest_only(self) -> None:
        driver = self.make_driver(self.host.uri)
        release = threading.Event()
        self.addCleanup(release.set)

        def listener(item: event.LifecycleEvent) -> None:
            if item.name == 'slow':
                release.wait(60)
            self.listener(item)

        driver.register_event_listener(listener)
        driver.init_host('here')
        base.start_guest(self.host, 'slow')
        # On libvirt's own thread, this would cost the connection.
        time.sleep(10)
        base.start_guest(self.host, 'quick')

        wait_until(lambda: self.listener.transitions('quick'),
                   'the other guest\'s event')
        self.assertEqual([], self.listener.transitions('slow'))
        self.assertEqual(1, driver.connection_status().generation)
        self.assertEqual(2, len(driver.list_instances()))
        release.set()
        wait_until(lambda: self.listener.transitions('slow'),
                   'the held up event')


class OutageTest(base.PrivateHostTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self._bring_daemon_back)

    def _bring_daemon_back(self) -> None:
        self.host.resume_daemon()

    def test_daemon_down_at_start_then_up(self) -> None:
        self.host.kill_daemon()
        driver = self.make_driver(self.host.uri)

        driver.init_host('here')
        self.assertRaises(
            exception.HypervisorUnavailable, driver.list_instances)
        self.assertFalse(self.service_state.enabled)

        self.restart_daemon()
        wait_until(lambda: self.service_state.enabled, 'enabled again')
        self.assertEqual([], driver.list_instances())
        self.assertEqual(['compute.libvirt.error'],
                         [kind for kind, _ in self.notifier.errors])

    def test_killed_daemon_disables_and_its_return_enables(self) -> None:
        driver = self.make_driver(self.host.uri)
        driver.init_host('here')
        self.start_guest('survivor')

        self.host.kill_daemon()
        wait_until(lambda: self.service_state.enabled is False, 'disabled')
        started = time.monotonic()
        error = self.assertRaises(
            exception.HypervisorUnavailable, driver.list_instances)
        self.assertLess(time.monotonic() - started, 1)
        self.assertIn('cannot open', str(error))

        self.restart_daemon()
        wait_until(lambda: self.service_state.enabled, 'enabled again')
        self.assertEqual(['survivor'], driver.list_instances())
        self.assertEqual(1, len(self.notifier.errors))
        wait_until(lambda: self.listener.transitions('survivor'),
                   'the start of the guest')
        self.assertEqual(['started'],
                         self.listener.transitions('survivor'))

    def test_a_stop_during_the_outage_is_told_once(self) -> None:
        driver = self.make_driver(self.host.uri)
        driver.init_host('here')
        self.start_guest('doomed')
        wait_until(lambda: self.listener.transitions('doomed'), 'started')
        guest_pid = self.host.guest_pid('doomed')
        assert guest_pid is not None

        self.host.kill_daemon()
        wait_until(lambda: self.service_state.enabled is False, 'disabled')
        os.kill(guest_pid, signal.SIGKILL)
        self.restart_daemon()

        wait_until(lambda: len(self.listener.transitions('doomed')) > 1,
                   'the missed stop')
        stop = self.listener.events[-1]
        self.assertIn(str(stop.transition), ('stopped', 'crashed'))
        self.assertTrue(stop.synthesized)
        driver.list_instances()
        self.assertEqual(2, len(self.listener.transitions('doomed')))

    def test_fifty_callers_in_flight_survive_kill_and_restart(self) -> None:
        driver = self.make_driver(self.host.uri)
        driver.init_host('here')
        stop = threading.Event()
        answers = {'good': 0, 'refused': 0}

        def caller() -> None:
            while not stop.is_set():
                try:
                    driver.list_instances()
                    answers['good'] += 1
                except exception.HypervisorUnavailable:
                    answers['refused'] += 1
                    time.sleep(0.01)

        def tormentor() -> None:
            for _ in range(3):
                time.sleep(0.3)
                self.host.kill_daemon()
                time.sleep(0.3)
                self.restart_daemon()
                answers['good'] = 0
                wait_until(lambda: answers['good'],
                           'good answers after the restart')
            stop.set()

        results = fake_ports.run_threads([tormentor] + [caller] * 50,
                                         timeout_s=120)

        self.assertEqual([None] * 51, results)
        self.assertGreater(answers['refused'], 0)
        self.assertTrue(self.service_state.enabled)

    def test_close_callback_during_a_call_never_deadlocks(self) -> None:
        driver = self.make_driver(self.host.uri)
        driver.init_host('here')
        for turn in range(20):
            # The daemon hangs with a call in flight and is killed then: the
            # close callback may run on the thread that is in the call.
            self.host.kill_daemon(signal.SIGSTOP)
            caller = threading.Thread(target=self._ask, args=(driver,))
            caller.start()
            time.sleep(0.1)
            self.host.kill_daemon(signal.SIGKILL)
            caller.join(20)
            self.assertFalse(caller.is_alive(), f'turn {turn} deadlocked')
            self.restart_daemon()
            wait_until(lambda: driver.connection_status().state
                       == _State.CONNECTED, f'reconnected in turn {turn}')
            driver.list_instances()

    def _ask(self, driver: driver_module.LibvirtDriver) -> None:
        try:
            driver._conn.getHostname()
        except (libvirt.libvirtError, exception.HypervisorUnavailable):
            return

    def test_twenty_reconnects_leak_nothing(self) -> None:
        driver = self.make_driver(self.host.uri)
        cut = self._count_cut_handshakes(driver)
        driver.init_host('here')
        self._reconnect(driver)
        files, threads = _open_files(), threading.active_count()
        connections = _connections()

        for _ in range(20):
            self._reconnect(driver)

        wait_until(lambda: len(_open_files()) <= len(files) + len(cut),
                   f'no more open files than {files}: {_open_files()}')
        wait_until(lambda: threading.active_count() <= threads,
                   'no more threads than before')
        wait_until(lambda: _connections() <= connections,
                   'old connections to be forgotten')
        self.assertEqual(22, driver.connection_status().generation)

    def _count_cut_handshakes(
            self, driver: driver_module.LibvirtDriver) -> list[str]:
        # When a daemon dies between accepting a client and answering it,
        # libvirt 9.0 now and then forgets to close the socket: 7 times in
        # 300 with nothing but the binding.
        cut: list[str] = []
        connect = driver._connect

        def counting(uri: str, read_only: bool) -> Any:
            try:
                return connect(uri, read_only)
            except exception.HypervisorUnavailable as error:
                if 'Failed to connect socket' not in str(error):
                    cut.append(str(error))
                raise

        driver._connect = counting  # type: ignore[method-assign]
        return cut

    def _reconnect(self, driver: driver_module.LibvirtDriver) -> None:
        generation = self._generation(driver)
        self.host.kill_daemon()
        self.restart_daemon()
        wait_until(lambda: self._generation(driver) > generation,
                   'a new connection')
        wait_until(lambda: self.service_state.enabled, 'enabled')

    def _generation(self, driver: driver_module.LibvirtDriver) -> int:
        status = driver.connection_status()
        return status.generation if status.state == _State.CONNECTED else 0

    def test_a_hung_daemon_is_found_by_keepalive(self) -> None:
        driver = self.make_driver(self.host.uri)
        driver.init_host('here')

        self.host.kill_daemon(signal.SIGSTOP)
        started = time.monotonic()
        self.assertRaises(
            exception.HypervisorUnavailable, driver.list_instances)
        # Keepalive 1 s x 3 and the deadline of the next connect, 5 s.
        self.assertLess(time.monotonic() - started, 20)

        self.host.resume_daemon()
        wait_until(lambda: driver.connection_status().state
                   == _State.CONNECTED, 'connected again')
        self.assertEqual([], driver.list_instances())
        wait_until(
            lambda: driver.connection_status().abandoned_calls == 0,
            'the abandoned call to end')

    def test_many_callers_of_a_hung_daemon_all_come_back(self) -> None:
        for what_next in (signal.SIGCONT, signal.SIGKILL):
            driver = self.make_driver(self.host.uri)
            driver.init_host('here')
            driver.list_instance_summaries()
            self.host.kill_daemon(signal.SIGSTOP)

            results = fake_ports.run_threads(
                [driver.list_instances] * 6
                + [driver.list_instance_summaries] * 2, timeout_s=30)

            self.assertEqual(
                [True] * 8,
                [isinstance(result, exception.HypervisorUnavailable)
                 for result in results], str(results))
            if what_next == signal.SIGKILL:
                self.host.kill_daemon()
            self.host.resume_daemon()
            wait_until(lambda: driver.connection_status().state
                       == _State.CONNECTED, 'connected again')
            self.assertEqual([], driver.list_instances())

    def test_opening_a_hung_daemon_has_a_deadline(self) -> None:
        self.host.kill_daemon(signal.SIGSTOP)
        driver = self.make_driver(self.host.uri, connect_timeout=1)

        error = self.assertRaises(
            exception.CallTimeout, driver._get_connection)

        self.assertIn('1 s', str(error))
        self.assertEqual(1, driver.connection_status().abandoned_calls)
        self.host.resume_daemon()
        wait_until(
            lambda: driver.connection_status().abandoned_calls == 0,
            'the late connection to be closed')
