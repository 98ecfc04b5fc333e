# SPDX-License-Identifier: Apache-2.0

import functools
import threading

import fixtures

from nova_libvirt_driver.events import dispatcher
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.testing import fake_ports
from tests import base

wait_until = fake_ports.wait_until


def numbered(name: str, number: int) -> event.LifecycleEvent:
    """Return an event that its detail tells from others."""
    return event.LifecycleEvent(
        uuid=f'uuid of {name}', name=name, generation=1, timestamp=0.0,
        transition=event.Transition.STARTED, detail=str(number))


def workers() -> int:
    """Return how many threads deliver."""
    return sum(thread.name.startswith('libvirt-dispatch')
               for thread in threading.enumerate())


class Listener:
    """Remembers what it was told; blocks on some guests when told so."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []
        self.entered: list[str] = []
        self.gate = threading.Event()
        self.blocks_on: tuple[str, ...] = ()
        self.ends_on = -1

    def __call__(self, item: event.LifecycleEvent) -> None:
        self.entered.append(item.name)
        if item.name in self.blocks_on:
            self.gate.wait(30)
        if int(item.detail) == self.ends_on:
            raise SystemExit
        self.heard.append((item.name, int(item.detail)))

    def numbers(self, name: str) -> list[int]:
        return [number for who, number in list(self.heard) if who == name]


class DispatcherTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.listener = Listener()
        self.addCleanup(self.listener.gate.set)

    def make(self, max_workers: int = 64) -> dispatcher.Dispatcher:
        made = dispatcher.Dispatcher(self.listener, max_workers=max_workers)
        self.addCleanup(made.stop)
        return made

    def settle(self, one: dispatcher.Dispatcher) -> None:
        wait_until(lambda: not one.size(), 'everything delivered')
        wait_until(lambda: not workers(), 'no worker left')


class OrderTest(DispatcherTestCase):

    def test_events_of_a_guest_are_delivered_in_order(self) -> None:
        names = [f'guest{number}' for number in range(20)]
        for workers_allowed in (1, 3, 64):
            self.listener.heard.clear()
            delivery = self.make(workers_allowed)

            for number in range(50):
                for name in names:
                    delivery.put(numbered(name, number))
            self.settle(delivery)

            for name in names:
                self.assertEqual(list(range(50)),
                                 self.listener.numbers(name))

    def test_order_holds_when_events_come_while_delivering(self) -> None:
        delivery = self.make(4)

        def bring(name: str) -> None:
            for number in range(200):
                delivery.put(numbered(name, number))

        names = [f'guest{number}' for number in range(6)]
        fake_ports.run_threads(
            [functools.partial(bring, name) for name in names])
        self.settle(delivery)

        for name in names:
            self.assertEqual(list(range(200)), self.listener.numbers(name))

    def test_listener_that_raises_gets_the_next_event(self) -> None:
        logged = self.useFixture(fixtures.FakeLogger())
        raised: list[int] = []

        def listener(item: event.LifecycleEvent) -> None:
            self.listener(item)
            if item.detail != '2':
                raised.append(int(item.detail))
                raise ValueError('a fault of the listener')

        delivery = dispatcher.Dispatcher(listener)
        for number in range(3):
            delivery.put(numbered('web1', number))
        self.settle(delivery)

        self.assertEqual([0, 1, 2], self.listener.numbers('web1'))
        self.assertEqual([0, 1], raised)
        self.assertEqual(2, logged.output.count('The listener failed'))
        self.assertIn('web1', logged.output)


class BlockTest(DispatcherTestCase):

    def test_blocked_listener_holds_up_its_own_guest_only(self) -> None:
        self.listener.blocks_on = ('slow',)
        delivery = self.make()

        for number in range(3):
            delivery.put(numbered('slow', number))
            delivery.put(numbered('quick', number))
        wait_until(lambda: len(self.listener.numbers('quick')) == 3,
                   'the other guest\'s events')

        self.assertEqual([], self.listener.numbers('slow'))
        self.assertEqual(3, delivery.size())
        self.listener.gate.set()
        self.settle(delivery)
        self.assertEqual([0, 1, 2], self.listener.numbers('slow'))

    def test_putting_never_waits_for_a_blocked_listener(self) -> None:
        self.listener.blocks_on = ('slow',)
        delivery = self.make(1)
        delivery.put(numbered('slow', 0))
        wait_until(lambda: self.listener.entered, 'the listener')

        for number in range(1, 1000):
            delivery.put(numbered('slow', number))

        self.assertEqual(1000, delivery.size())

    def test_of_too_many_events_the_latest_are_kept(self) -> None:
        self.listener.blocks_on = ('slow',)
        delivery = dispatcher.Dispatcher(self.listener, lane_limit=3)
        self.addCleanup(delivery.stop)
        delivery.put(numbered('slow', 0))
        wait_until(lambda: self.listener.entered, 'the listener')

        for number in range(1, 10):
            delivery.put(numbered('slow', number))
        self.assertEqual((4, 6), (delivery.size(), delivery.coalesced))
        self.listener.gate.set()
        self.settle(delivery)

        self.assertEqual([0, 7, 8, 9], self.listener.numbers('slow'))

    def test_all_wait_when_as_many_block_as_there_may_be(self) -> None:
        self.listener.blocks_on = ('slow1', 'slow2')
        delivery = self.make(2)
        for name in self.listener.blocks_on:
            delivery.put(numbered(name, 0))
        wait_until(lambda: len(self.listener.entered) == 2, 'both blocked')

        delivery.put(numbered('quick', 0))

        self.assertEqual(2, workers())
        self.assertEqual([], self.listener.heard)
        self.listener.gate.set()
        self.settle(delivery)
        self.assertEqual([0], self.listener.numbers('quick'))
        self.assertEqual(3, len(self.listener.heard))

    def test_there_are_no_more_workers_than_allowed(self) -> None:
        names = tuple(f'guest{number}' for number in range(10))
        self.listener.blocks_on = names
        delivery = self.make(3)

        for name in names:
            delivery.put(numbered(name, 0))
        wait_until(lambda: len(self.listener.entered) == 3, 'three blocked')

        self.assertEqual(3, workers())
        self.listener.gate.set()
        self.settle(delivery)
        self.assertEqual(set(names),
                         {name for name, _ in self.listener.heard})


class EndTest(DispatcherTestCase):

    def test_workers_end_and_come_back(self) -> None:
        delivery = self.make()
        for number in range(3):
            delivery.put(numbered('web1', number))

            self.settle(delivery)

        self.assertEqual([0, 1, 2], self.listener.numbers('web1'))

    def test_a_worker_stays_for_the_next_event(self) -> None:
        delivery = self.make()
        names = set()
        for number in range(3):
            delivery.put(numbered('web1', number))
            wait_until(lambda: not delivery.size(), 'the delivery')
            names |= {thread.ident for thread in threading.enumerate()
                      if thread.name.startswith('libvirt-dispatch')}

        self.assertEqual(1, len(names))

    def test_one_that_is_told_to_end_is_replaced(self) -> None:
        self.listener.ends_on = 1
        delivery = self.make(max_workers=1)

        for number in range(2):
            delivery.put(numbered('web1', number))
        wait_until(lambda: not workers(), 'the end of the worker')
        delivery.put(numbered('web2', 2))

        wait_until(lambda: self.listener.numbers('web2'), 'another worker')
        self.assertEqual([0], self.listener.numbers('web1'))

    def test_its_guest_is_passed_on_to_another_one(self) -> None:
        self.listener.ends_on = 0
        self.listener.blocks_on = ('web1',)
        delivery = self.make(max_workers=1)
        for number in range(3):
            delivery.put(numbered('web1', number))

        self.listener.gate.set()

        wait_until(lambda: not delivery.size(), 'everything delivered')
        self.assertEqual([1, 2], self.listener.numbers('web1'))

    def test_stopping_drops_what_waits(self) -> None:
        self.listener.blocks_on = ('slow',)
        delivery = self.make(1)
        for name in ('slow', 'slow', 'quick'):
            delivery.put(numbered(name, 0))
        wait_until(lambda: self.listener.entered, 'the listener')

        delivery.stop()
        delivery.put(numbered('late', 0))

        self.assertEqual(0, delivery.size())
        self.listener.gate.set()
        wait_until(lambda: not workers(), 'no worker left')
        # What was being delivered came to its end, nothing else did.
        self.assertEqual([('slow', 0)], self.listener.heard)

    def test_stopping_twice_is_harmless(self) -> None:
        delivery = self.make()

        delivery.stop()
        delivery.stop()

        self.assertEqual(0, delivery.size())
