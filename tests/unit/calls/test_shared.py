# SPDX-License-Identifier: Apache-2.0

import threading

from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver.calls import shared
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_ports
from tests import base

wait_until = fake_ports.wait_until


class Clock(runtime.Runtime):
    """Time that passes when a test says so."""

    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


class SharedTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.generation = 1
        self.asked = 0
        self.shared = shared.Shared(
            self.ask, max_age_s=2.0, generation=lambda: self.generation,
            runtime=self.clock)

    def ask(self) -> int:
        self.asked += 1
        return self.asked


class AgeTest(SharedTestCase):

    def test_an_answer_is_good_for_some_time(self) -> None:
        found = self.shared.get()
        self.clock.now_s += 1.9

        self.assertIs(found, self.shared.get())
        self.assertEqual(1, self.asked)

        self.clock.now_s += 0.2
        self.assertEqual(2, self.shared.get().value)

    def test_it_tells_its_age(self) -> None:
        found = self.shared.get()
        self.clock.now_s += 1.5

        self.assertEqual(1.5, self.shared.age_s(found))

    def test_its_age_counts_from_the_question(self) -> None:
        def slow() -> int:
            self.clock.now_s += 1.5
            return self.ask()

        one = shared.Shared(slow, max_age_s=2.0, runtime=self.clock)

        self.assertEqual(1.5, one.age_s(one.get()))

    def test_who_wants_a_newer_one_asks(self) -> None:
        self.shared.get()
        self.clock.now_s += 1

        self.assertEqual(1, self.shared.get(1.5).value)
        self.assertEqual(2, self.shared.get(0.5).value)
        self.assertEqual(3, self.shared.get(0).value)
        self.assertEqual(3, self.shared.get().value)

    def test_another_connection_is_asked_anew(self) -> None:
        self.shared.get()
        self.generation = 2

        self.assertEqual(2, self.shared.get().value)
        self.assertEqual(2, self.shared.get().generation)

    def test_an_error_is_no_answer(self) -> None:
        def fail() -> int:
            if not self.ask() % 2:
                return 1
            raise exception.HypervisorUnavailable(host='here')

        one = shared.Shared(fail, max_age_s=2.0, runtime=self.clock)

        self.assertRaises(exception.HypervisorUnavailable, one.get)
        self.assertEqual(1, one.get().value)


class Told(BaseException):
    """As when a green thread is told to end."""


class FlightTest(SharedTestCase):
    """Several who ask at the same time."""

    def setUp(self) -> None:
        super().setUp()
        self.go = threading.Event()
        self.addCleanup(self.go.set)
        self.failures: list[BaseException] = []
        self.shared = shared.Shared(
            self.ask_slowly, max_age_s=2.0, runtime=self.clock,
            generation=lambda: self.generation)
        self.found: list[int | str] = []
        self.raised: list[BaseException] = []

    def ask_slowly(self) -> int:
        number = self.ask()
        self.go.wait(10)
        if self.failures:
            raise self.failures.pop()
        return number

    def get(self) -> None:
        try:
            self.found.append(self.shared.get().value)
        except BaseException as error:
            self.raised.append(error)

    def start(self, number: int = 1) -> None:
        threads = [threading.Thread(target=self.get, daemon=True)
                   for _ in range(number)]
        for thread in threads:
            thread.start()
            self.addCleanup(thread.join, 10)

    def land(self, number: int) -> None:
        """Let the question end, and wait for so many of those who ask."""
        self.go.set()
        wait_until(lambda: len(self.found + self.raised) == number,
                   'all to have their answer')

    def test_all_of_them_share_one_question(self) -> None:
        self.start(8)
        wait_until(lambda: self.asked == 1, 'the question')

        self.land(8)

        self.assertEqual(([1] * 8, 1), (self.found, self.asked))

    def test_an_error_is_for_all_of_them(self) -> None:
        self.failures = [exception.HypervisorUnavailable(host='here')]
        self.start()
        wait_until(lambda: self.asked == 1, 'the question')
        self.start(3)

        self.land(4)

        if self.asked == 1:
            self.assertEqual(4, len(self.raised))
            self.assertEqual(4, len(set(map(id, self.raised))))
        for error in self.raised:
            self.assertIsInstance(error, exception.HypervisorUnavailable)

    def test_others_go_on_when_the_one_who_asks_is_told_to_end(self) -> None:
        self.failures = [Told()]
        self.start()
        wait_until(lambda: self.asked == 1, 'the question')
        self.start(3)

        self.land(4)

        self.assertEqual([2] * 3, self.found)
        self.assertIsInstance(self.raised[0], Told)

    def test_a_question_to_a_lost_connection_is_not_waited_for(self) -> None:
        self.start()
        wait_until(lambda: self.asked == 1, 'the question')
        self.generation = 2
        self.start()
        wait_until(lambda: self.asked == 2, 'another question')

        self.land(2)

        self.assertEqual([1, 2], sorted(self.found))
        self.assertEqual(2, self.shared.get().value)

    def test_who_wants_a_newer_one_does_not_wait_for_an_older(self) -> None:
        self.start()
        wait_until(lambda: self.asked == 1, 'the question')
        self.clock.now_s += 3
        self.start()
        wait_until(lambda: self.asked == 2, 'another question')

        self.land(2)

        self.assertEqual(2, self.shared.get().value)
