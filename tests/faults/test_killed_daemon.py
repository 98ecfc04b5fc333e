# SPDX-License-Identifier: Apache-2.0

"""A daemon that dies, also while it is asked something."""

import signal
import threading
import time

import libvirt

from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_ports
from tests.faults import base

KILLS = 50
CALLERS = 50
HUNG_KILLS = 20


class KilledDaemonTest(base.ConnectionFaultTestCase):

    def test_daemon_down_at_start_then_up(self) -> None:
        self.host.kill_daemon()

        with base.within(base.MARGIN_S):
            driver = self.connect()
            self.assertRaises(
                exception.HypervisorUnavailable, driver.list_instances)
        self.assertFalse(self.service_state.enabled)

        self.restart_daemon()
        self.assert_recovers(driver)
        self.assertEqual(['compute.libvirt.error'],
                         [kind for kind, _ in self.notifier.errors])

    def test_its_death_disables_and_its_return_enables(self) -> None:
        driver = self.connect()
        self.start_guest('survivor')

        self.host.kill_daemon()
        self.wait_disabled()
        with base.within(base.MARGIN_S):
            error = self.assertRaises(
                exception.HypervisorUnavailable, driver.list_instances)
        self.assertIn('cannot open', str(error))

        self.restart_daemon()
        self.assert_recovers(driver, 'survivor')
        self.assertEqual(1, len(self.notifier.errors))
        base.wait_until(lambda: self.listener.transitions('survivor'),
                        'the start of the guest', timeout_s=base.EVENT_S)
        self.assertEqual(['started'],
                         self.listener.transitions('survivor'))

    def test_fifty_kills_with_calls_in_flight(self) -> None:
        driver = self.connect()
        self.start_guest('stays')
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
            try:
                for number in range(KILLS):
                    self.host.kill_daemon()
                    self.host.start_daemon()
                    good = answers['good']
                    base.wait_until(
                        lambda: answers['good'] > good,
                        f'good answers after kill {number}',
                        timeout_s=base.BACK_S)
            finally:
                stop.set()

        results = fake_ports.run_threads(
            [tormentor] + [caller] * CALLERS, timeout_s=1200)

        self.assertEqual([None] * (CALLERS + 1), results)
        self.assert_recovers(driver, 'stays')
        self.assertGreater(driver.connection_status().generation, KILLS)

    def test_close_callback_during_a_call_never_deadlocks(self) -> None:
        driver = self.connect()
        for turn in range(HUNG_KILLS):
            # The daemon hangs with a call in flight and is killed then: the
            # close callback may run on the thread that is in the call.
            self.host.kill_daemon(signal.SIGSTOP)
            caller = runtime.Thread(target=_ask, args=(driver,))
            caller.start()
            time.sleep(0.1)
            self.host.kill_daemon(signal.SIGKILL)
            caller.join(base.FOUND_S)
            self.assertFalse(caller.is_alive(), f'turn {turn} deadlocked')
            self.host.start_daemon()
            self.assert_recovers(driver)


def _ask(driver: driver_module.LibvirtDriver) -> None:
    try:
        driver._conn.getHostname()
    except (libvirt.libvirtError, exception.HypervisorUnavailable):
        return
