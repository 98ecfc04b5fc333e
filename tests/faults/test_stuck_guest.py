# SPDX-License-Identifier: Apache-2.0

"""One QEMU that stands still, beside others that do not."""

import os
import signal
import time

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.monitoring import inquiry
from nova_libvirt_driver.monitoring import monitor
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import monitoring
from nova_libvirt_driver.testing import fake_ports
from tests.faults import base

PowerState = instance_spec.PowerState

LOOK_S, CALL_S = 2.0, 4.0
MARGIN_S = 30.0
"""What a loaded machine may add to a deadline."""


class StuckGuestTest(base.GuestFaultTestCase):

    own_options = {'look_timeout': LOOK_S, 'call_timeout': CALL_S}

    def setUp(self) -> None:
        super().setUp()
        self.stuck = self.spawn('stuck')
        self.other = self.spawn('other')
        self.signal(signal.SIGSTOP)
        self.addCleanup(self.signal, signal.SIGCONT)

    def spawn(self, name: str) -> guest_spec.GuestSpec:
        spec = self.boot_guest(name)
        self.driver.spawn(spec)
        self.wait_console(spec, f'{name} is up')
        return spec

    def signal(self, number: int) -> None:
        pid = self.host.guest_pid(self.stuck.name)
        if pid is not None:
            os.kill(pid, number)

    def unresponsive(self) -> tuple[str, ...]:
        return self.driver.connection_status().unresponsive

    def assert_within(self, started: float, limit_s: float) -> None:
        self.assertLess(time.monotonic() - started, limit_s + MARGIN_S)

    def put_in_quarantine(self) -> None:
        started = time.monotonic()
        self.assertRaises(
            exception.GuestUnresponsive, self.driver.pause, self.stuck)
        self.assert_within(started, CALL_S)
        self.assertEqual((self.stuck.uuid,), self.unresponsive())

    def test_the_audit_goes_on_without_it(self) -> None:
        for _ in range(3):
            started = time.monotonic()
            resources = self.driver.get_available_resource('here')

            self.assert_within(started, 2 * LOOK_S)
            self.assertEqual((2, 2), (
                resources.running_instances, resources.vcpus_used))
        self.assertEqual((self.stuck.uuid,), self.unresponsive())

    def test_calls_into_it_fail_at_once_and_others_work(self) -> None:
        self.put_in_quarantine()

        started = time.monotonic()
        for _ in range(20):
            self.assertRaises(
                exception.GuestUnresponsive, self.driver.pause, self.stuck)
        # Less than two of them would take that hang.
        self.assertLess(time.monotonic() - started, MARGIN_S)
        self.assertEqual(
            1, self.driver.connection_status().abandoned_calls)
        self.assertIs(PowerState.RUNNING, self.state(self.stuck))
        self.driver.pause(self.other)
        self.driver.unpause(self.other)
        self.assertEqual(2, len(self.driver.list_instances()))

    def test_it_is_let_out_when_it_goes_on(self) -> None:
        self.put_in_quarantine()

        self.signal(signal.SIGCONT)

        fake_ports.wait_until(lambda: not self.unresponsive(),
                              'the guest to answer', timeout_s=MARGIN_S)
        # The call that hung has come through after all.
        fake_ports.wait_until(
            lambda: self.state(self.stuck) is PowerState.PAUSED,
            'the pause', timeout_s=MARGIN_S)
        self.driver.unpause(self.stuck)

    def test_whoever_asks_is_told_of_it(self) -> None:
        path = self.useFixture(fixtures.TempDir()).join('status.sock')
        watched = monitor.Monitor(self.driver, monitoring.Settings(
            host='here', status_socket=path))
        self.addCleanup(watched.stop)
        watched.start()

        def verdict() -> str:
            return str(inquiry.ask(path, MARGIN_S)['health']['verdict'])

        self.assertEqual('healthy', verdict())
        self.put_in_quarantine()

        asked = inquiry.ask(path, MARGIN_S)
        self.assertEqual('degraded', asked['health']['verdict'])
        self.assertIn(self.stuck.uuid, asked['health']['reasons'][0]['text'])
        self.assertEqual([self.stuck.uuid],
                         asked['connection']['unresponsive'])

        self.signal(signal.SIGCONT)
        fake_ports.wait_until(lambda: verdict() == 'healthy',
                              'the guest to answer', timeout_s=MARGIN_S)

    def test_it_can_be_deleted(self) -> None:
        self.put_in_quarantine()

        self.driver.destroy(self.stuck)

        self.assertEqual([self.other.name], self.driver.list_instances())
        self.assertEqual((), self.unresponsive())

    def test_it_can_be_stopped_and_started(self) -> None:
        self.put_in_quarantine()

        # It is not there to obey, so its power is cut.
        self.driver.power_off(self.stuck, timeout_s=60, retry_interval_s=10)
        self.driver.power_on(self.stuck)

        self.assertIs(PowerState.RUNNING, self.state(self.stuck))
        self.driver.pause(self.stuck)
