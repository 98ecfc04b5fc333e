# SPDX-License-Identifier: Apache-2.0

import _thread
from collections.abc import Callable
import functools
import gc
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any
import weakref

import fixtures
import libvirt

from nova_libvirt_driver.calls import calls
from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_ports
from tests import base

wait_until = fake_ports.wait_until

PATCH = 'import eventlet; eventlet.monkey_patch()'

HUNG_CALL = """
    from nova_libvirt_driver.calls import calls
    from nova_libvirt_driver.calls import runtime
    from nova_libvirt_driver import exception

    sleep = runtime.original('time').sleep
    runner = calls.make(host='here', limit=4)
    try:
        runner.run(lambda: sleep(120), name='hanging', timeout_s=0.2)
    except exception.CallTimeout:
        print('gave up', runner.budget.abandoned)
"""

INTERRUPTED = """
    import signal
    import threading

    from nova_libvirt_driver.calls import calls
    from nova_libvirt_driver.calls import runtime

    sleep = runtime.original('time').sleep
    runner = calls.make(host='here', limit=1)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        runner.run(lambda: sleep(2), name='working', timeout_s=30)
    except KeyboardInterrupt:
        print('interrupted', runner.budget.running, runner.budget.abandoned)
    while runner.budget.running:
        sleep(0.1)
    print(runner.run(lambda: 7, name='asking', timeout_s=5))
"""


class CallsTestCase(base.TestCase):
    """Has the calls of this process, and calls that hang."""

    def make(self, limit: int = 4) -> calls.Calls:
        return calls.make(host='here', limit=limit)

    def hang(self, runner: calls.Calls, **options: Any) -> fake_fault.Hang:
        """Start a call that hangs, and give it up."""
        hang = fake_fault.Hang()
        self.addCleanup(wait_until, lambda: not runner.budget.running,
                        'the abandoned call to end')
        self.addCleanup(hang.release)
        self.assertRaises(
            exception.CallTimeout, runner.run, lambda: _hang(hang),
            name='hanging', timeout_s=0.1, **options)
        return hang


def _hang(hang: fake_fault.Hang) -> str:
    hang.hang()
    return 'late'


def _give(value: object) -> object:
    return value


class RunTest(CallsTestCase):

    def test_result_comes_back(self) -> None:
        runner = self.make()
        wanted: dict[str, list[int]] = {'a': [1]}

        for result in (wanted, None, 0, '', (1, 'two')):
            self.assertEqual(result, runner.run(
                functools.partial(_give, result), name='asking',
                timeout_s=10))
        self.assertEqual((0, 0), (
            runner.budget.running, runner.budget.abandoned))

    def test_function_runs_on_a_thread_of_its_own(self) -> None:
        runner = self.make()

        inside = runner.run(_thread.get_native_id, name='asking',
                            timeout_s=10)

        self.assertNotEqual(_thread.get_native_id(), inside)

    def test_a_thread_serves_one_call_after_the_other(self) -> None:
        runner = self.make()
        times = 50

        found = [runner.run(_thread.get_native_id, name='asking',
                            timeout_s=10) for _ in range(times)]

        self.assertLess(len(set(found)), times)

    def test_a_forked_process_has_threads_of_its_own(self) -> None:
        code = textwrap.dedent("""\
            import os
            from nova_libvirt_driver.calls import calls
            runner = calls.make(host='here', limit=4)
            runner.run(lambda: 7, name='asking', timeout_s=60)
            child = os.fork()
            if not child:
                os._exit(runner.run(lambda: 7, name='asking', timeout_s=20))
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            """)

        done = subprocess.run([sys.executable, '-c', code], text=True,
                              capture_output=True)

        self.assertEqual('7\n', done.stdout, done.stderr)

    def test_nothing_of_a_call_is_kept(self) -> None:
        runner = self.make()
        found = weakref.ref(runner.run(
            lambda: frozenset('abc'), name='asking', timeout_s=10))
        gc.collect()

        self.assertIsNone(found())

    def test_exception_passes_as_it_is(self) -> None:
        runner = self.make()
        ours = exception.InstanceNotFound(instance='web1', host='here')
        for raised in (ValueError('a'), KeyError('b'), ours):
            def fail(error: Exception = raised) -> None:
                raise error

            self.assertIs(raised, self.assertRaises(
                type(raised), runner.run, fail, name='asking',
                timeout_s=10))
        self.assertEqual((0, 0), (
            runner.budget.running, runner.budget.abandoned))

    def test_calls_run_at_the_same_time(self) -> None:
        runner = self.make(3)
        hangs = [fake_fault.Hang() for _ in range(3)]

        def meet(number: int) -> bool:
            # Each waits for the next one to be there too.
            hangs[number].entered = True
            return hangs[(number + 1) % 3].wait_entered()

        results = fake_ports.run_threads([
            functools.partial(runner.run, functools.partial(meet, number),
                              name='meeting', timeout_s=20)
            for number in range(3)])

        self.assertEqual([True] * 3, results)

    def test_caller_of_a_call_does_not_hold_up_others(self) -> None:
        runner = self.make()
        hang = fake_fault.Hang()
        thread = threading.Thread(target=lambda: runner.run(
            lambda: _hang(hang), name='hanging', timeout_s=20))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(hang.release)
        self.assertTrue(hang.wait_entered())

        self.assertEqual(1, runner.budget.running)
        self.assertEqual(7, runner.run(
            lambda: 7, name='asking', timeout_s=10))
        self.assertEqual(0, runner.budget.abandoned)


class LostCodeTest(CallsTestCase):
    """The collector frees a domain while libvirt-python makes an error."""

    def setUp(self) -> None:
        super().setUp()
        self.connection = libvirt.open('test:///default')
        self.addCleanup(self.connection.close)
        libvirt.registerErrorHandler(calls.remember, None)
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.addCleanup(gc.enable)

    def look_up(self) -> libvirt.virDomain:
        gc.disable()
        cycle: list[object] = [self.connection.lookupByName('test')]
        cycle.append(cycle)
        del cycle
        gc.set_threshold(1)
        gc.enable()
        return self.connection.lookupByName('none')

    def test_the_error_of_a_call_has_its_code(self) -> None:
        error = self.assertRaises(
            libvirt.libvirtError, self.make().run, self.look_up,
            name='a look-up', timeout_s=60)

        self.assertEqual(
            (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_FROM_TEST),
            (error.get_error_code(), error.get_error_domain()))


class DeadlineTest(CallsTestCase):

    def test_deadline_is_kept(self) -> None:
        runner = self.make()
        started = time.monotonic()

        self.hang(runner)

        self.assertTrue(0.1 <= time.monotonic() - started < 30)
        self.assertEqual((1, 1), (
            runner.budget.running, runner.budget.abandoned))

    def test_error_says_what_gave_no_answer(self) -> None:
        hang = fake_fault.Hang()
        self.addCleanup(hang.release)

        error = self.assertRaises(
            exception.CallTimeout, self.make().run, lambda: _hang(hang),
            name='opening qemu:///system', timeout_s=0.1)

        for words in ('here', 'opening qemu:///system', '0.1 s'):
            self.assertIn(words, str(error))
        self.assertTrue(error.next_step)

    def test_late_result_is_given_away_exactly_once(self) -> None:
        runner = self.make()
        late: list[object] = []
        hang = self.hang(runner, late=late.append)
        self.assertEqual([], late)

        hang.release()
        wait_until(lambda: not runner.budget.running, 'the call to end')

        self.assertEqual(['late'], late)
        self.assertEqual(0, runner.budget.abandoned)

    def test_result_in_time_is_not_late(self) -> None:
        late: list[object] = []

        self.make().run(lambda: 7, name='asking', timeout_s=10,
                        late=late.append)

        self.assertEqual([], late)

    def test_late_failure_leaves_nothing_to_take(self) -> None:
        runner = self.make()
        late: list[object] = []
        hang = fake_fault.Hang()

        def fail() -> None:
            hang.hang()
            raise ValueError('late')

        self.assertRaises(
            exception.CallTimeout, runner.run, fail, name='failing',
            timeout_s=0.1, late=late.append)
        hang.release()
        wait_until(lambda: not runner.budget.running, 'the call to end')

        self.assertEqual([None], late)
        self.assertEqual(0, runner.budget.abandoned)

    def test_taker_that_raises_costs_no_place(self) -> None:
        runner = self.make(1)

        def take(result: object) -> None:
            raise ValueError('a fault of the taker')

        self.hang(runner, late=take).release()
        wait_until(lambda: not runner.budget.running, 'the call to end')

        self.assertEqual(0, runner.budget.abandoned)
        self.assertEqual(7, runner.run(
            lambda: 7, name='asking', timeout_s=10))


class BudgetTest(CallsTestCase):

    def test_no_call_starts_when_all_places_hang(self) -> None:
        runner = self.make(2)
        started: list[int] = []
        hangs = [self.hang(runner) for _ in range(2)]

        error = self.assertRaises(
            exception.CallBudgetExhausted, runner.run,
            lambda: started.append(1), name='asking', timeout_s=10)

        self.assertEqual([], started)
        self.assertIn('asking', str(error))
        self.assertIn('2 calls', str(error))
        self.assertEqual((2, 2), (
            runner.budget.running, runner.budget.abandoned))
        hangs[0].release()
        wait_until(lambda: runner.budget.running == 1, 'a place')
        self.assertEqual(1, runner.budget.abandoned)
        self.assertEqual(7, runner.run(
            lambda: 7, name='asking', timeout_s=10))

    def test_the_first_refusal_is_said_until_a_call_gets_in(self) -> None:
        log = self.useFixture(fixtures.FakeLogger())
        runner = self.make(1)
        for number in (1, 2):
            hang = self.hang(runner)
            for _ in range(3):
                self.assertRaises(
                    exception.CallBudgetExhausted, runner.run, lambda: 7,
                    name='asking', timeout_s=10)

            self.assertEqual(
                number, log.output.count('No thread is left for asking'))
            hang.release()
            wait_until(lambda: not runner.budget.running, 'the call to end')
            runner.run(lambda: 7, name='asking', timeout_s=10)

    def test_more_callers_than_places_wait_for_one(self) -> None:
        runner = self.make(2)
        sleep = runtime.original('time').sleep

        results = fake_ports.run_threads([
            functools.partial(runner.run, functools.partial(sleep, 0.01),
                              name='working', timeout_s=30)
            for _ in range(20)])

        self.assertEqual([None] * 20, results)
        self.assertEqual((0, 0), (
            runner.budget.running, runner.budget.abandoned))

    def test_place_of_an_abandoned_call_is_waited_for(self) -> None:
        runner = self.make(2)
        lost = self.hang(runner)
        busy = fake_fault.Hang()
        thread = threading.Thread(target=lambda: runner.run(
            lambda: _hang(busy), name='working', timeout_s=30))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(busy.release)
        self.assertTrue(busy.wait_entered())
        threading.Timer(0.2, lost.release).start()

        self.assertEqual(7, runner.run(
            lambda: 7, name='asking', timeout_s=30))

    def test_who_came_first_gets_the_next_place(self) -> None:
        runner = self.make(1)
        order: list[int] = []
        busy = fake_fault.Hang()
        threads = [self.begin(runner, lambda: _hang(busy))]
        self.assertTrue(busy.wait_entered())
        for number in range(8):
            threads.append(self.begin(
                runner, functools.partial(order.append, number)))
            # Longer than one look for a place: nobody is overtaken then.
            time.sleep(0.15)
        busy.release()
        for thread in threads:
            thread.join()

        self.assertEqual(list(range(8)), order)

    def begin(
            self, runner: calls.Calls,
            function: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=lambda: runner.run(
            function, name='working', timeout_s=60))
        thread.start()
        self.addCleanup(thread.join)
        return thread

    def test_time_to_wait_for_a_place_is_not_that_of_the_call(self) -> None:
        runner = self.make(1)
        busy = fake_fault.Hang()
        self.begin(runner, lambda: _hang(busy))
        self.addCleanup(busy.release)
        self.assertTrue(busy.wait_entered())
        threading.Timer(3, busy.release).start()

        self.assertEqual(7, runner.run(
            lambda: 7, name='asking', timeout_s=2, place_timeout_s=60))

    def test_no_place_in_time_is_an_error(self) -> None:
        runner = self.make(1)
        busy = fake_fault.Hang()
        thread = threading.Thread(target=lambda: runner.run(
            lambda: _hang(busy), name='working', timeout_s=30))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(busy.release)
        self.assertTrue(busy.wait_entered())

        self.assertRaises(
            exception.CallBudgetExhausted, runner.run, lambda: 7,
            name='asking', timeout_s=0.2)

    def test_failing_calls_keep_no_place(self) -> None:
        runner = self.make(1)

        def fail() -> None:
            raise ValueError('x')

        for _ in range(5):
            self.assertRaises(ValueError, runner.run, fail, name='failing',
                              timeout_s=10)
        self.assertEqual((0, 0), (
            runner.budget.running, runner.budget.abandoned))

    def test_place_of_an_interrupted_caller_comes_back(self) -> None:
        code = PATCH if runtime.in_eventlet_process() else ''
        process = subprocess.run(
            [sys.executable, '-c', code + textwrap.dedent(INTERRUPTED)],
            capture_output=True, text=True, timeout=60, check=False)

        self.assertEqual('interrupted 1 1\n7\n', process.stdout,
                         process.stderr)

    def test_call_without_a_thread_keeps_no_place(self) -> None:
        runner = calls.NativeCalls(host='here', limit=1)

        def start(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with fixtures.MonkeyPatch('threading.Thread.start', start):
            error = self.assertRaises(
                exception.HypervisorUnavailable, runner.run, lambda: 7,
                name='asking', timeout_s=10)

        self.assertIn("can't start new thread", str(error))
        self.assertEqual(0, runner.budget.running)


class ExitTest(base.TestCase):
    """The end of a process in which a call hangs."""

    def test_hung_call_does_not_keep_the_process(self) -> None:
        self._check_exit('')

    def test_hung_call_does_not_keep_an_eventlet_process(self) -> None:
        self._check_exit(PATCH)

    def _check_exit(self, first: str) -> None:
        script = f'{first}\n{textwrap.dedent(HUNG_CALL)}'

        result = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', script],
            capture_output=True, text=True, timeout=60)

        self.assertEqual('gave up 1\n', result.stdout, result.stderr)
        self.assertEqual('', result.stderr)
        self.assertEqual(0, result.returncode)
