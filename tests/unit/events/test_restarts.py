# SPDX-License-Identifier: Apache-2.0

import threading
import time

from nova_libvirt_driver.events import router as router_module
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.testing import fake_ports
from tests import base

Transition = event.Transition


class RestartsTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.listener = fake_ports.RecordingListener()
        self.restarts = router_module.Restarts(self.listener)

    def happen(self, *transitions: Transition, name: str = 'one') -> None:
        for transition in transitions:
            self.restarts.take(event.LifecycleEvent(
                uuid=name, name=name, generation=1, timestamp=0.0,
                transition=transition))

    def heard(self, name: str = 'one') -> list[str]:
        return self.listener.transitions(name)

    def test_everything_is_passed_on_at_once(self) -> None:
        self.happen(Transition.STOPPED, Transition.STARTED)

        self.assertEqual(['stopped', 'started'], self.heard())

    def test_a_stop_before_a_start_is_none(self) -> None:
        with self.restarts.during('one'):
            self.happen(Transition.STOPPED)
            self.assertEqual([], self.heard())
            self.happen(Transition.STARTED)

        self.assertEqual(['started'], self.heard())

    def test_a_crash_after_the_start_is_one(self) -> None:
        with self.restarts.during('one'):
            self.happen(Transition.STOPPED, Transition.STARTED,
                        Transition.CRASHED)

        self.assertEqual(['started', 'crashed'], self.heard())

    def test_a_stop_that_stays_is_told_afterwards(self) -> None:
        with self.restarts.during('one'):
            self.happen(Transition.STOPPED)

        self.assertEqual(['stopped'], self.heard())

    def test_a_stop_before_a_failure_is_told(self) -> None:
        def fail() -> None:
            with self.restarts.during('one'):
                self.happen(Transition.STOPPED)
                raise ValueError('the start')

        self.assertRaises(ValueError, fail)

        self.assertEqual(['stopped'], self.heard())

    def test_a_stop_that_a_failed_start_causes_is_called_so(self) -> None:
        started = threading.Event()

        def start() -> None:
            with self.restarts.during('one'):
                self.happen(Transition.STARTED)
                started.set()
                raise ValueError('the ports')

        def stop() -> None:
            started.wait(30)
            time.sleep(0.1)
            self.happen(Transition.STOPPED)

        fake_ports.run_threads([
            lambda: self.assertRaises(ValueError, start), stop])

        self.assertEqual(['started', 'stopped'], self.heard())
        self.assertEqual('failed', self.listener.events[-1].detail)

    def test_a_start_may_come_behind_the_end(self) -> None:
        stopped = threading.Event()

        def restart() -> None:
            with self.restarts.during('one'):
                self.happen(Transition.STOPPED)
                stopped.set()

        def start() -> None:
            stopped.wait(30)
            time.sleep(0.1)
            self.happen(Transition.STARTED)

        fake_ports.run_threads([restart, start])

        self.assertEqual(['started'], self.heard())

    def test_others_stop_meanwhile(self) -> None:
        with self.restarts.during('one'):
            self.happen(Transition.STOPPED, name='two')
            self.assertEqual(['stopped'], self.heard('two'))

    def test_a_later_stop_is_told_at_once(self) -> None:
        with self.restarts.during('one'):
            self.happen(Transition.STOPPED, Transition.STARTED)

        self.happen(Transition.STOPPED)

        self.assertEqual(['started', 'stopped'], self.heard())
