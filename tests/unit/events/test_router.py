# SPDX-License-Identifier: Apache-2.0

import dataclasses
import functools
from typing import Any

import fixtures

from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import router
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


def disk_failed(
        action: str, generation: int = 1,
        timestamp: float = 0.0) -> event.IOErrorEvent:
    """Return the event of a disk that fails."""
    return event.IOErrorEvent(
        uuid='one', name='web', generation=generation, timestamp=timestamp,
        path='/srv/disk', alias='virtio-disk0', action=action,
        reason='enospc')


def paused_by_storage() -> event.LifecycleEvent:
    """Return the event with which libvirt says that QEMU has paused it."""
    return dataclasses.replace(
        happened(Transition.PAUSED, 1), detail='ioerror')


class DiskErrorTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.router = router.Router(fake_ports.RecordingListener())
        self.router.synchronize(listing(State.RUNNING), 1)

    def warnings(self, *events: router.Change) -> list[str]:
        """Return what is warned of, all of which has to name the guest."""
        with self.assertLogs(router.LOG.logger, 'DEBUG') as logs:
            router.LOG.debug('so that there is something')
            for item in events:
                self.router.handle(item)
        found: list[Any] = [record for record in logs.records
                            if record.levelname == 'WARNING']
        for record in found:
            self.assertEqual({'uuid': 'one'}, record.instance)
        return [record.getMessage() for record in found]

    def test_post_copy_that_breaks_is_warned_of_on_both_hosts(self) -> None:
        for transition in (Transition.PAUSED, Transition.RESUMED):
            [message] = self.warnings(dataclasses.replace(
                happened(transition, 1), detail='postcopy-failed'))

            self.assertIn('Let them reach each other', message)

    def test_a_pause_by_storage_is_warned_of_once(self) -> None:
        [message] = self.warnings(
            disk_failed('pause'), disk_failed('pause', timestamp=1.0),
            paused_by_storage())

        self.assertIn('/srv/disk failed (enospc), and QEMU paused', message)
        self.assertIn('then unpause', message)

    def test_a_pause_of_which_only_the_state_tells(self) -> None:
        [message] = self.warnings(paused_by_storage())

        self.assertIn('QEMU paused the guest', message)

    def test_an_error_that_the_guest_sees_does_not_pause_it(self) -> None:
        [message] = self.warnings(disk_failed('report'))

        self.assertNotIn('paused', message)

    def test_the_next_pause_is_warned_of(self) -> None:
        self.assertEqual(2, len(self.warnings(
            disk_failed('pause'), happened(Transition.RESUMED, 1),
            disk_failed('pause', timestamp=1.0))))

    def test_a_disk_that_fails_for_long_is_warned_of_each_minute(
            self) -> None:
        self.assertEqual(3, len(self.warnings(*(
            disk_failed('report', timestamp=second)
            for second in range(150)))))

    def test_the_last_one_of_each_guest_is_kept(self) -> None:
        for number in range(3):
            last = disk_failed('report', timestamp=float(number))
            self.router.handle(last)

        self.assertEqual({'one': last}, self.router.disk_errors())
        self.router.synchronize(listing(State.SHUTDOWN), 2)
        self.assertEqual({'one': last}, self.router.disk_errors())

    def test_nothing_is_kept_of_a_guest_that_is_gone(self) -> None:
        self.router.handle(disk_failed('report'))
        self.router.handle(decode.Gone('one', 1))
        self.assertEqual({}, self.router.disk_errors())

        self.router.handle(disk_failed('report'))
        self.router.synchronize(listing(State.RUNNING, 'two'), 2)
        self.assertEqual({}, self.router.disk_errors())

    def test_a_pause_by_a_user_is_not_warned_of(self) -> None:
        self.assertEqual([], self.warnings(dataclasses.replace(
            happened(Transition.PAUSED, 1), detail='paused')))


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
