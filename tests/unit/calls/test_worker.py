# SPDX-License-Identifier: Apache-2.0

from concurrent import futures
import functools
import threading
import time

import fixtures

from nova_libvirt_driver.calls import worker as worker_module
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_ports
from tests import base

wait_until = fake_ports.wait_until

LONG_S = 30.0
"""Less than a job hangs, more than a busy machine needs for one."""


class WorkerTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.worker = worker_module.Worker('tested')
        self.addCleanup(self.worker.stop, 5)

    def hang(self) -> fake_fault.Hang:
        """Give the worker a job that hangs."""
        hang = fake_fault.Hang()
        self.addCleanup(hang.release)
        self.worker.submit(hang.hang)
        self.assertTrue(hang.wait_entered())
        return hang

    def test_no_thread_before_the_first_job(self) -> None:
        idle = worker_module.Worker('idle')

        names = [thread.name for thread in threading.enumerate()]
        idle.stop(5)

        self.assertNotIn('idle', names)

    def test_result_comes_back(self) -> None:
        self.assertEqual(7, self.worker.submit(lambda: 7).result(LONG_S))

    def test_what_a_job_raises_comes_back_and_costs_nothing(self) -> None:
        def fail() -> None:
            raise SystemExit('told to end')

        self.assertRaises(SystemExit, self.worker.submit(fail).result, LONG_S)
        self.assertEqual(7, self.worker.submit(lambda: 7).result(LONG_S))

    def test_jobs_are_done_in_order_one_at_a_time(self) -> None:
        done: list[int] = []
        inside: list[bool] = []
        lock = threading.Lock()

        def job(number: int) -> None:
            inside.append(lock.acquire(blocking=False))
            time.sleep(0.001)
            done.append(number)
            lock.release()

        every = [self.worker.submit(functools.partial(job, number))
                 for number in range(20)]

        every[-1].result(LONG_S)
        self.assertEqual(list(range(20)), done)
        self.assertEqual([True] * 20, inside)

    def test_it_knows_its_own_thread(self) -> None:
        self.assertFalse(self.worker.inside())
        self.assertTrue(self.worker.submit(self.worker.inside).result(LONG_S))

    def test_job_may_submit_another(self) -> None:
        inner = self.worker.submit(
            lambda: self.worker.submit(lambda: 7)).result(LONG_S)

        self.assertEqual(7, inner.result(LONG_S))

    def test_later_is_not_sooner_and_in_the_order_of_time(self) -> None:
        done: list[tuple[str, float]] = []

        def note(name: str) -> None:
            done.append((name, time.monotonic()))

        def plan() -> None:
            self.worker.later(0.1, lambda: note('late'))
            self.worker.later(0.05, lambda: note('early'))
            self.worker.later(0.05, lambda: note('early too'))

        started = time.monotonic()
        self.worker.submit(plan).result(LONG_S)
        # It does other things meanwhile.
        self.worker.submit(lambda: note('now')).result(LONG_S)

        wait_until(lambda: len(done) == 4, 'all jobs')
        self.assertEqual(['now', 'early', 'early too', 'late'],
                         [name for name, _ in done])
        self.assertGreaterEqual(done[1][1] - started, 0.05)
        self.assertGreaterEqual(done[3][1] - started, 0.1)

    def test_later_job_that_raises_costs_nothing(self) -> None:
        done: list[str] = []

        def plan() -> None:
            self.worker.later(0, lambda: done.index('missing'))
            self.worker.later(0.01, lambda: done.append('next'))

        self.worker.submit(plan)

        wait_until(lambda: done, 'the next job')

    def test_stop_drops_what_is_queued_and_what_is_for_later(self) -> None:
        done: list[str] = []
        self.worker.submit(
            lambda: self.worker.later(0.01, lambda: done.append('later')))
        hang = self.hang()
        last = self.worker.submit(lambda: done.append('queued'))

        self.worker.stop(0)
        self.assertRaises(futures.CancelledError, last.exception, LONG_S)
        hang.release()

        self.worker.stop(5)
        self.assertEqual([], done)

    def test_finish_does_what_is_queued_and_what_is_for_later(self) -> None:
        done: list[str] = []
        hang = self.hang()
        self.worker.submit(
            lambda: self.worker.later(0.02, lambda: done.append('later')))
        self.worker.submit(lambda: done.append('queued'))
        self.worker.finish(0)
        after = self.worker.submit(lambda: done.append('after'))
        hang.release()

        after.result(LONG_S)
        self.worker.finish(5)

        self.assertEqual(['queued', 'after', 'later'], done)
        self.assertTrue(self.worker.submit(int).cancelled())

    def test_finish_waits_no_longer_than_told(self) -> None:
        self.hang()
        started = time.monotonic()

        self.worker.finish(0.1)

        self.assertTrue(0.1 <= time.monotonic() - started < LONG_S)

    def test_finish_without_a_job_ends_it(self) -> None:
        self.worker.finish(5)

        self.assertTrue(self.worker.submit(int).cancelled())

    def test_stop_waits_no_longer_than_told(self) -> None:
        self.hang()
        started = time.monotonic()

        self.worker.stop(0.1)

        self.assertTrue(0.1 <= time.monotonic() - started < LONG_S)

    def test_thread_ends_after_the_job_that_hung(self) -> None:
        hang = self.hang()
        self.worker.stop(0)

        hang.release()

        wait_until(lambda: 'tested' not in {
            thread.name for thread in threading.enumerate()}, 'its end')

    def test_what_is_submitted_after_the_stop_is_cancelled(self) -> None:
        done: list[int] = []
        for first in (lambda: None, lambda: self.worker.submit(int)):
            with self.subTest(first):
                self.worker = worker_module.Worker('tested')
                first()
                self.worker.stop(5)

                future = self.worker.submit(lambda: done.append(1))

                self.assertTrue(future.cancelled())
                self.assertRaises(
                    futures.CancelledError, future.exception, LONG_S)
        self.assertEqual([], done)

    def test_stop_from_within_its_own_job(self) -> None:
        # As a port does that ends the service.
        self.worker.submit(lambda: self.worker.stop(0.1)).exception(LONG_S)

        self.assertTrue(self.worker.submit(int).cancelled())

    def test_cancelled_job_is_not_done(self) -> None:
        done: list[int] = []
        hang = self.hang()
        future = self.worker.submit(lambda: done.append(1))
        self.assertTrue(future.cancel())

        hang.release()

        self.worker.submit(int).result(LONG_S)
        self.assertEqual([], done)

    def test_process_that_had_no_thread_left_costs_one_job(self) -> None:
        def start(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with fixtures.MonkeyPatch('threading.Thread.start', start):
            error = self.worker.submit(int).exception(LONG_S)

        self.assertIsInstance(error, RuntimeError)
        self.assertEqual(7, self.worker.submit(lambda: 7).result(LONG_S))
