# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
import threading

from nova_libvirt_driver.events import expecting
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import event
from tests import base

UUID = '4c2a9a1e-7d7c-4a58-9f3e-2b1f6b1b7a11'
KINDS = (event.BlockJobEvent, event.LifecycleEvent)
OTHER = 'b14c8de1-19c8-4af8-b040-3b28f00caec3'


def block_job(status: str, uuid: str = UUID) -> event.BlockJobEvent:
    return event.BlockJobEvent(
        uuid=uuid, name='one', generation=1, timestamp=0.0,
        target_dev='vda', job_type='copy', status=status)


class Cancelled(Exception):
    pass


class WaitTest(base.TestCase):
    """Time passes only while somebody waits."""

    def setUp(self) -> None:
        super().setUp()
        self.now_s = 0.0
        self.due: dict[float, list[event.GuestEvent]] = {}
        self.session: int | None = 1
        self.looks: list[float] = []
        self.look: Callable[[], bool] = lambda: False
        # What else happens while time passes.
        self.happen: Callable[[], object] = lambda: None
        self.waits = expecting.Waits(
            clock=lambda: self.now_s, pause=self.pause)

    def pause(self, woken: threading.Event, seconds: float) -> None:
        self.now_s += seconds
        for when_s in [at_s for at_s in self.due if at_s <= self.now_s]:
            for item in self.due.pop(when_s):
                self.waits.take(item)
        self.happen()

    def is_ready(self, seen: event.GuestEvent | None) -> bool:
        if isinstance(seen, event.BlockJobEvent):
            return seen.status == 'ready'
        self.looks.append(self.now_s)
        return self.look()

    def wait(self, timeout_s: float = 60.0) -> bool:
        with self.waits.expecting(
                UUID, KINDS, lambda: self.session) as expectation:
            return expectation.wait(self.is_ready, timeout_s)

    def test_an_event_ends_the_wait_and_nothing_is_looked_up(self) -> None:
        self.due = {7.0: [block_job('ready')]}

        self.assertTrue(self.wait())

        self.assertEqual((7.0, []), (self.now_s, self.looks))

    def test_what_came_before_the_wait_counts(self) -> None:
        with self.waits.expecting(
                UUID, KINDS, lambda: self.session) as expectation:
            self.waits.take(block_job('ready'))

            self.assertTrue(expectation.wait(self.is_ready, 60))

        self.assertEqual((0.0, []), (self.now_s, self.looks))

    def test_what_came_earlier_or_is_about_something_else_does_not(
            self) -> None:
        self.waits.take(block_job('ready'))
        self.due = {
            1.0: [block_job('ready', OTHER)], 2.0: [block_job('started')],
            3.0: [event.RebootEvent(
                uuid=UUID, name='one', generation=1, timestamp=0.0)]}

        self.assertFalse(self.wait())

        # One last look, when the time is over.
        self.assertEqual([60.0], self.looks)

    def test_an_event_that_is_waited_for_is_heard_of_by_others(self) -> None:
        heard: list[event.GuestEvent] = []
        self.waits.listener = heard.append
        self.due = {1.0: [block_job('ready'), block_job('x', OTHER)]}

        self.assertTrue(self.wait())

        self.assertEqual([UUID, OTHER], [item.uuid for item in heard])

    def test_every_event_is_seen_in_its_order(self) -> None:
        self.due = {1.0: [block_job('started'), block_job('ready')]}
        seen: list[str] = []

        def settles(item: event.GuestEvent | None) -> bool:
            assert isinstance(item, event.BlockJobEvent)
            seen.append(item.status)
            return item.status == 'ready'

        with self.waits.expecting(
                UUID, KINDS, lambda: self.session) as expectation:
            self.assertTrue(expectation.wait(settles, 60))

        self.assertEqual(['started', 'ready'], seen)

    def test_after_a_reconnect_it_is_looked_up_once(self) -> None:
        def happen() -> None:
            self.session = (
                1 if self.now_s < 5 else None if self.now_s < 20 else 2)

        self.happen = happen
        self.due = {40.0: [block_job('ready')]}

        self.assertTrue(self.wait())

        self.assertEqual([20.0], self.looks)
        self.assertEqual(40.0, self.now_s)

    def test_a_look_up_that_fails_is_repeated(self) -> None:
        def look() -> bool:
            if self.now_s < 3:
                raise exception.HypervisorUnavailable(
                    host='here', uri='fake:///', reason='it is away')
            return True

        self.look = look
        with self.waits.expecting(
                UUID, KINDS, lambda: self.session) as expectation:
            self.session = 2

            self.assertTrue(expectation.wait(self.is_ready, 60))

        self.assertEqual(3.0, self.now_s)

    def test_an_event_that_cannot_be_looked_at_now_is_later(self) -> None:
        def settles(item: event.GuestEvent | None) -> bool:
            self.looks.append(self.now_s)
            if self.session is None or item is not None:
                raise exception.HypervisorUnavailable(
                    host='here', uri='fake:///', reason='it is away')
            return True

        def happen() -> None:
            self.session = 1 if 5 > self.now_s or self.now_s >= 9 else None

        self.happen = happen
        self.due = {5.0: [block_job('ready')]}
        with self.waits.expecting(
                UUID, KINDS, lambda: self.session) as expectation:
            self.assertTrue(expectation.wait(settles, 60))

        self.assertEqual([5.0, 9.0], self.looks)

    def test_an_event_that_was_lost_costs_a_minute(self) -> None:
        self.look = lambda: True

        self.assertTrue(self.wait(3600))

        self.assertEqual([60.0], self.looks)

    def test_without_events_it_is_looked_up_slowly(self) -> None:
        self.session = 0

        self.assertFalse(self.wait())

        self.assertLess(len(self.looks), 20)
        self.assertEqual(60.0, self.looks[-1])

    def test_without_events_the_end_is_seen_all_the_same(self) -> None:
        self.session = 0
        self.look = lambda: self.now_s >= 30

        self.assertTrue(self.wait())

        self.assertLessEqual(self.now_s, 34.0)

    def test_no_connection_is_an_error_when_the_time_is_over(self) -> None:
        def look() -> bool:
            raise exception.HypervisorUnavailable(
                host='here', uri='fake:///', reason='it is away')

        self.session = None
        self.look = look

        self.assertRaises(exception.HypervisorUnavailable, self.wait)

        self.assertEqual((60.0, [60.0]), (self.now_s, self.looks))

    def test_who_waits_may_be_told_to_end(self) -> None:
        def tick() -> None:
            if self.now_s >= 2:
                raise Cancelled

        with self.waits.expecting(
                UUID, KINDS, lambda: self.session) as expectation:
            self.assertRaises(
                Cancelled, expectation.wait, self.is_ready, 60, tick)

        self.assertEqual((2.0, []), (self.now_s, self.looks))
