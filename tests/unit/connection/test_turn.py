# SPDX-License-Identifier: Apache-2.0

import threading
import time

from nova_libvirt_driver.connection import turn as turn_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_ports
from tests import base


class TurnTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.turn = self.make(timeout_s=5)

    def make(self, timeout_s: float) -> turn_module.Turn:
        return turn_module.Turn(host='here', timeout_s=timeout_s)

    def take(self, turn: turn_module.Turn | None = None) -> None:
        with (turn or self.turn).taken('asking'):
            pass

    def test_one_caller_at_a_time(self) -> None:
        inside: list[bool] = []
        lock = threading.Lock()

        def work() -> None:
            for _ in range(5):
                with self.turn.taken('asking'):
                    inside.append(lock.acquire(blocking=False))
                    time.sleep(0.001)
                    lock.release()

        fake_ports.run_threads([work] * 8, timeout_s=10)

        self.assertEqual([True] * 40, inside)

    def test_who_came_first_is_first(self) -> None:
        order: list[int] = []
        waiting: list[int] = []

        def work(number: int) -> None:
            waiting.append(number)
            with self.turn.taken('asking'):
                order.append(number)

        with self.turn.taken('asking'):
            threads = []
            for number in range(5):
                thread = threading.Thread(target=work, args=(number,))
                thread.start()
                threads.append(thread)
                fake_ports.wait_until(
                    lambda: len(waiting) > number, 'the next one')
                time.sleep(0.05)
        # At once, as one does who asks again and again.
        with self.turn.taken('asking'):
            order.append(-1)
        for thread in threads:
            thread.join(10)

        self.assertEqual([0, 1, 2, 3, 4, -1], order)

    def test_who_gives_up_is_passed_over(self) -> None:
        self.assertTrue(self.turn.acquire(0))
        threading.Timer(0.2, self.turn.release).start()
        self.assertFalse(self.turn.acquire(0.05))

        self.assertTrue(self.turn.acquire(10))
        self.turn.release()
        self.take()

    def test_wait_for_it_has_a_deadline(self) -> None:
        turn = self.make(timeout_s=0.1)
        started = time.monotonic()

        with turn.taken('asking'):
            error = self.assertRaises(
                exception.CallTimeout, self.take, turn)

        self.assertTrue(0.1 <= time.monotonic() - started < 1)
        self.assertIn('here', str(error))
        self.assertIn('waiting for asking', str(error))
        self.take(turn)

    def test_caller_that_comes_in_vain_takes_nothing(self) -> None:
        self.assertTrue(self.turn.acquire(0))
        for _ in range(3):
            self.assertFalse(self.turn.acquire(0.01))

        self.turn.release()

        self.assertTrue(self.turn.acquire(0))
        self.assertFalse(self.turn.acquire(0.01))
        self.turn.release()

    def test_call_that_fails_gives_it_back(self) -> None:
        def fail() -> None:
            with self.turn.taken('asking'):
                raise ValueError('a failure')

        for _ in range(3):
            self.assertRaises(ValueError, fail)
        self.assertFalse(self.turn.closed)
        self.take()

    def test_caller_told_to_end_before_its_call_gives_it_back(
            self) -> None:
        for reason in (KeyboardInterrupt, SystemExit, GeneratorExit):
            with self.subTest(reason.__name__):
                self.end_inside(reason)

                self.assertFalse(self.turn.closed)
                self.take()

    def end_inside(self, reason: type[BaseException]) -> None:
        """Take the turn and be told to end while holding it."""
        try:
            with self.turn.taken('asking'):
                raise reason
        except reason:
            return

    def test_caller_told_to_end_lets_nobody_in_while_its_call_runs(
            self) -> None:
        self.turn = self.make(timeout_s=0.01)
        hang = fake_fault.Hang()
        self.turn.begin()
        thread = threading.Thread(target=self.turn.tracked(hang.hang))
        self.addCleanup(thread.join, 5)
        self.addCleanup(hang.release)
        thread.start()
        self.assertTrue(hang.wait_entered())

        self.end_inside(SystemExit)

        self.assertTrue(self.turn.closed)
        self.assertRaises(exception.CallTimeout, self.take)
        self.assertFalse(self.turn.acquire(0.01))
        hang.release()
        thread.join(5)
        self.assertTrue(self.turn.acquire(0))
        self.assertFalse(self.turn.acquire(0.01))

    def test_tracked_function_passes_everything_on(self) -> None:
        self.assertEqual(7, self.turn.tracked(int)('11', base=6))
        self.assertRaises(ValueError, self.turn.tracked(int), 'x')

    def test_link_that_is_gone_refuses_calls(self) -> None:
        self.turn.check()

        self.turn.closed = True

        error = self.assertRaises(
            exception.HypervisorUnavailable, self.turn.check)
        self.assertIn('here', str(error))

    def test_link_may_go_while_one_waits(self) -> None:
        hang = fake_fault.Hang()

        def inside() -> None:
            with self.turn.taken('asking'):
                hang.hang()
                self.turn.closed = True

        def behind() -> None:
            self.assertTrue(hang.wait_entered())
            hang.release()
            with self.turn.taken('asking'):
                self.turn.check()

        results = fake_ports.run_threads([inside, behind], timeout_s=10)

        self.assertIsNone(results[0])
        self.assertIs(exception.HypervisorUnavailable, type(results[1]))
        self.take()

    def test_nobody_waits_where_there_is_no_link(self) -> None:
        self.turn.needed = False

        with self.turn.taken('asking'):
            self.take()
            self.assertTrue(self.turn.acquire(0))
            self.turn.release()
