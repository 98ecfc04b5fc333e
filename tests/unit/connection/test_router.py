# SPDX-License-Identifier: Apache-2.0

import functools

import fixtures

from nova_libvirt_driver.connection import decode
from nova_libvirt_driver.connection import router
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import instance
from nova_libvirt_driver.testing import fake_ports
from tests import base

State = instance.PowerState
Transition = event.Transition

STOPPED, STARTED = Transition.STOPPED, Transition.STARTED


def happened(
        transition: Transition, generation: int,
        uuid: str = 'one') -> event.LifecycleEvent:
    """Return an event that libvirt sent over one session."""
    return event.LifecycleEvent(
        uuid=uuid, name=uuid, generation=generation, timestamp=0.0,
        transition=transition)


def listing(state: State, *uuids: str) -> list[decode.Report]:
    """Return a listing of guests that are all the same."""
    return [decode.Report(uuid, uuid, state)
            for uuid in uuids or ('one',)]


class RouterTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.FakeLogger())
        self.listener = fake_ports.RecordingListener()
        self.router = router.Router(self.listener)

    def heard(self) -> list[str]:
        return self.listener.transitions('one')

    def test_events_of_a_new_session_wait_for_its_listing(self) -> None:
        self.router.synchronize(listing(State.RUNNING), 1)

        self.router.handle(happened(Transition.PAUSED, 2))
        self.assertEqual([], self.heard())

        self.router.synchronize(listing(State.RUNNING), 2)
        self.assertEqual(['paused'], self.heard())

    def test_missed_ones_come_before_those_that_waited(self) -> None:
        self.router.synchronize(listing(State.SHUTDOWN), 1)
        for transition in (Transition.PAUSED, Transition.RESUMED, STOPPED):
            self.router.handle(happened(transition, 2))

        self.router.synchronize(listing(State.RUNNING), 2)

        self.assertEqual(['started', 'paused', 'resumed', 'stopped'],
                         self.heard())
        self.assertEqual([True, False, False, False],
                         [item.synthesized for item in self.listener.events])

    def test_events_of_an_old_session_are_dropped(self) -> None:
        self.router.synchronize(listing(State.RUNNING), 1)
        self.router.synchronize(listing(State.RUNNING), 2)

        self.router.handle(happened(STOPPED, 1))

        self.assertEqual([], self.heard())
        known = self.router.known('one')
        assert known is not None
        self.assertEqual(State.RUNNING, known.state)

    def test_what_waited_for_an_abandoned_session_is_dropped(self) -> None:
        self.router.synchronize(listing(State.RUNNING), 1)
        self.router.handle(happened(STOPPED, 2))

        self.router.synchronize(listing(State.RUNNING), 3)

        self.assertEqual([], self.heard())

    def test_order_of_a_session_is_kept_for_each_guest(self) -> None:
        self.router.synchronize([], 1)
        names = [f'guest{number}' for number in range(10)]
        for transition in (STARTED, STOPPED) * 5:
            for name in names:
                self.router.handle(happened(transition, 1, name))

        for name in names:
            self.assertEqual(['started', 'stopped'] * 5,
                             self.listener.transitions(name))

    def test_order_is_kept_while_several_threads_bring_events(self) -> None:
        self.router.synchronize([], 1)

        def bring(name: str) -> None:
            for transition in (STARTED, STOPPED) * 50:
                self.router.handle(happened(transition, 1, name))

        names = [f'guest{number}' for number in range(8)]
        fake_ports.run_threads(
            [functools.partial(bring, name) for name in names])

        for name in names:
            self.assertEqual(['started', 'stopped'] * 50,
                             self.listener.transitions(name))

    def test_without_a_listing_nothing_is_inferred(self) -> None:
        self.router.synchronize(listing(State.RUNNING), 1)
        self.router.handle(happened(Transition.PAUSED, 2))

        self.router.synchronize(None, 2)

        self.assertEqual(['paused'], self.heard())
        self.assertEqual(2, self.router.generation)

    def test_listing_that_comes_late_changes_nothing(self) -> None:
        self.router.synchronize(listing(State.RUNNING), 2)

        for generation in (1, 2):
            self.router.synchronize([], generation)

        self.assertEqual([], self.heard())
        self.assertEqual(2, self.router.generation)

    def test_other_events_are_taken_and_not_forwarded(self) -> None:
        self.router.synchronize(listing(State.RUNNING), 1)

        self.router.handle(event.RebootEvent(
            uuid='one', name='one', generation=1, timestamp=0.0))
        self.router.handle(decode.Defined('two', 'two', 1))
        self.router.handle(decode.Gone('two', 1))

        self.assertEqual([], self.listener.events)
        self.assertIsNone(self.router.known('two'))
