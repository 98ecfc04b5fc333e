# SPDX-License-Identifier: Apache-2.0

"""Threads and time that a test moves, also under the real workers."""

import queue
import threading

from nova_libvirt_driver.calls import calls as calls_module
from nova_libvirt_driver.calls import worker as worker_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import stepped as stepped_module
from tests import base


class SteppedTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.stepped = stepped_module.Stepped()
        self.addCleanup(self.stepped.close)
        self.done: list[tuple[str, float]] = []

    def note(self, name: str) -> None:
        self.done.append((name, self.stepped.monotonic()))

    def test_nothing_happens_by_itself(self) -> None:
        worker = worker_module.Worker('tested', self.stepped)
        future = worker.submit(lambda: self.note('job'))
        self.assertEqual([], self.done)

        self.stepped.run()

        self.assertEqual([('job', 0.0)], self.done)
        self.assertTrue(future.done())

    def test_jobs_for_later_fall_due_in_the_order_of_time(self) -> None:
        worker = worker_module.Worker('tested', self.stepped)

        def plan() -> None:
            worker.later(600, lambda: self.note('late'))
            worker.later(5, lambda: self.note('early'))

        worker.submit(plan)
        self.stepped.advance(5)
        self.assertEqual([('early', 5.0)], self.done)

        self.stepped.advance(1000)

        self.assertEqual([('early', 5.0), ('late', 600.0)], self.done)
        self.assertEqual(1005, self.stepped.monotonic())

    def test_whoever_waits_outside_moves_the_clock(self) -> None:
        thread = self.stepped.spawn('sleeper', lambda: self.stepped.wait(
            lambda: False, 30))

        thread.join(10)
        self.assertTrue(thread.is_alive())
        thread.join()

        self.assertFalse(thread.is_alive())
        self.assertEqual(30, self.stepped.monotonic())

    def test_queue_and_semaphore_have_deadlines(self) -> None:
        items = self.stepped.queue()
        semaphore = self.stepped.semaphore(1)

        self.assertRaises(queue.Empty, items.get, timeout=3)
        self.assertTrue(semaphore.acquire(timeout=3))
        self.assertFalse(semaphore.acquire(timeout=4))

        self.assertEqual(7, self.stepped.monotonic())

    def test_calls_have_deadlines(self) -> None:
        calls = calls_module.NativeCalls(
            host='here', limit=2, runtime=self.stepped)

        self.assertEqual(7, calls.run(lambda: 7, name='one', timeout_s=5))
        self.assertRaises(
            exception.CallTimeout, calls.run,
            lambda: self.stepped.wait(lambda: False, 60), name='two',
            timeout_s=5, late=lambda nothing: self.note('late'))
        self.assertEqual(1, calls.budget.abandoned)
        self.stepped.advance(60)

        self.assertEqual([('late', 60.0)], self.done)
        self.assertEqual(0, calls.budget.running)

    def order(self, seed: int) -> list[str]:
        """Return the order in which five threads run."""
        stepped = stepped_module.Stepped(seed)
        order: list[str] = []
        for name in 'abcde':
            stepped.spawn(name, lambda: order.append(
                threading.current_thread().name))
        stepped.run()
        return order

    def test_seed_decides_who_is_next(self) -> None:
        orders = [self.order(seed) for seed in range(10)]

        self.assertEqual(orders, [self.order(seed) for seed in range(10)])
        self.assertGreater(len({tuple(one) for one in orders}), 1)

    def test_threads_that_never_rest_are_noticed(self) -> None:
        stepped = stepped_module.Stepped(step_limit=100)
        self.addCleanup(stepped.close)

        def spin() -> None:
            while True:
                stepped.wait(lambda: True, None)

        stepped.spawn('restless', spin)

        self.assertRaises(AssertionError, stepped.run)
        self.assertRaises(AssertionError, stepped.advance, 1)

    def test_waiting_for_ever_is_noticed(self) -> None:
        self.assertRaises(AssertionError, self.stepped.queue().get)
