# SPDX-License-Identifier: Apache-2.0

import subprocess
import sys
import threading
import time

from nova_libvirt_driver.calls import calls
from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_libvirt
from tests import base
from tests.unit.monitoring import values
from tests.unit import test_driver

IMPORT = 'from nova_libvirt_driver.calls import runtime'
ANSWER = 'print(runtime.in_eventlet_process())'

# What a process did before it asks, and what it is then.
PROCESSES = (
    ('', 'False'),
    # Some library imports eventlet; the threads are still native.
    ('import eventlet', 'False'),
    ('import eventlet; eventlet.monkey_patch(thread=False)', 'False'),
    ('import eventlet; eventlet.monkey_patch()', 'True'),
    ('import eventlet; eventlet.monkey_patch(thread=True)', 'True'),
)


def run(*lines: str) -> str:
    """Run lines in a process of their own; return what they print."""
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', '\n'.join(lines)],
        check=True, stdout=subprocess.PIPE, text=True,
        timeout=30).stdout.strip()


class ProcessTest(base.TestCase):

    def test_patched_threads_make_an_eventlet_process(self) -> None:
        for before, wanted in PROCESSES:
            self.assertEqual(wanted, run(before, IMPORT, ANSWER), before)

    def test_patching_may_come_after_the_import(self) -> None:
        self.assertEqual('True', run(
            IMPORT, 'import eventlet', 'eventlet.monkey_patch()', ANSWER))

    def test_asking_imports_no_eventlet(self) -> None:
        self.assertEqual('False', run(
            'import sys', IMPORT, 'runtime.in_eventlet_process()',
            'runtime.original("threading")',
            'print("eventlet" in sys.modules)'))

    def test_this_process_knows_its_mode(self) -> None:
        self.assertEqual(base.eventlet_mode(),
                         runtime.in_eventlet_process())


class OriginalTest(base.TestCase):

    def test_module_is_the_usual_one_without_eventlet(self) -> None:
        self.assertEqual('True True', run(
            IMPORT, 'import queue, threading',
            'print(runtime.original("threading") is threading, '
            'runtime.original("queue") is queue)'))

    def test_thread_of_an_eventlet_process_can_be_native(self) -> None:
        inside: list[int] = []
        module = runtime.original('threading')
        thread = module.Thread(
            target=lambda: inside.append(module.get_native_id()))

        thread.start()
        thread.join(10)

        self.assertEqual(1, len(inside))
        self.assertNotEqual(module.get_native_id(), inside[0])


class JoinTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.release = threading.Event()
        self.addCleanup(self.release.set)

    def start(self, kind: type[threading.Thread]) -> threading.Thread:
        thread = kind(target=self.release.wait)
        thread.start()
        return thread

    def test_join_returns_at_its_deadline(self) -> None:
        thread = self.start(runtime.Thread)
        before = time.monotonic()

        thread.join(0.1)

        self.assertTrue(thread.is_alive())
        self.assertTrue(0.1 <= time.monotonic() - before < 5)
        thread.join(0)
        self.assertTrue(thread.is_alive())

    def test_join_returns_when_the_thread_has_ended(self) -> None:
        thread = self.start(runtime.Thread)
        self.release.set()

        thread.join(60)
        self.assertFalse(thread.is_alive())
        thread.join()
        thread.join(0)

    def test_join_without_a_deadline(self) -> None:
        thread = self.start(runtime.Thread)
        runtime.Thread(target=self.release.set).start()

        thread.join()

        self.assertFalse(thread.is_alive())

    def test_a_thread_of_another_kind(self) -> None:
        thread = self.start(threading.Thread)

        self.assertFalse(runtime.join(thread, 0.1))
        self.release.set()

        self.assertTrue(runtime.join(thread, 60))


class ObservationTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.observer = values.RecordingObserver()
        self.observation = runtime.Observation()

    def test_with_nobody_to_tell_a_call_is_just_made(self) -> None:
        self.assertEqual(3, self.observation.call('count', lambda: 3))

    def test_the_outcome_is_the_class_of_the_error(self) -> None:
        self.observation.observer = self.observer

        self.assertEqual(3, self.observation.call('count', lambda: 3))
        self.assertRaises(
            ZeroDivisionError, self.observation.call, 'split',
            lambda: 1 // 0)

        self.assertEqual([('count', 'ok'), ('split', 'ZeroDivisionError')],
                         self.observer.calls)

    def test_a_call_that_hangs_is_told_of_when_its_caller_gives_up(
            self) -> None:
        runner = calls.make(host='here', limit=4)
        runner.observation.observer = self.observer
        hang = fake_libvirt.FakeHypervisor().block('getInfo')
        self.addCleanup(hang.release)

        self.assertRaises(
            exception.CallTimeout, runner.run, hang.hang,
            name='the call to count', timeout_s=0.1)

        self.assertEqual([('count', 'CallTimeout')], self.observer.calls)


class DriverObservationTest(test_driver.DriverTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.observer = values.RecordingObserver()

    def test_calls_of_every_kind_are_told(self) -> None:
        self.driver.observe_calls(self.observer)

        self.driver.list_instances()
        self.driver.get_host_facts()

        self.assertEqual(
            {'opening a connection', 'setting up a connection',
             'setting keepalive', 'list the guests',
             'read the facts of the host'},
            {name for name, _ in self.observer.calls})
        self.assertEqual(
            {'ok'}, {outcome for _, outcome in self.observer.calls})

    def test_nobody_is_told_any_more(self) -> None:
        self.driver.observe_calls(self.observer)
        self.driver.observe_calls(None)

        self.driver.list_instances()

        self.assertEqual([], self.observer.calls)
