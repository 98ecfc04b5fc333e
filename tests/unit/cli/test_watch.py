# SPDX-License-Identifier: Apache-2.0

"""Waiting for events, and the notes about the connection."""

import io
import queue

from nova_libvirt_driver.cli import watch
from nova_libvirt_driver.spec import connection
from nova_libvirt_driver.spec import event
from tests import base

State = connection.ConnectionState


def _event(name: str) -> event.LifecycleEvent:
    return event.LifecycleEvent(
        uuid=f'uuid-of-{name}', name=name, generation=1, timestamp=0.0,
        transition=event.Transition.STARTED)


def _inbox(*names: str) -> watch.Inbox:
    inbox: watch.Inbox = queue.SimpleQueue()
    for name in names:
        inbox.put(_event(name))
    return inbox


def _names(inbox: watch.Inbox, wish: watch.Wish) -> list[str]:
    return [item.name for item in watch.take(inbox, wish, lambda: None)]


class TakeTest(base.TestCase):

    def test_it_ends_after_the_number_that_was_asked_for(self) -> None:
        inbox = _inbox('a', 'b', 'c')

        self.assertEqual(['a', 'b'], _names(inbox, watch.Wish(2, None)))
        self.assertEqual('c', inbox.get(timeout=0).name)

    def test_it_ends_when_time_is_up(self) -> None:
        self.assertEqual(
            ['a'], _names(_inbox('a'), watch.Wish(None, 0.05)))

    def test_one_guest_can_be_chosen_by_name_or_uuid(self) -> None:
        for server in ('b', 'uuid-of-b'):
            with self.subTest(server=server):
                self.assertEqual(['b', 'b'], _names(
                    _inbox('a', 'b', 'a', 'b'), watch.Wish(2, None, server)))


class NotesTest(base.TestCase):

    def _notes(self, *states: State) -> list[str]:
        stream = io.StringIO()
        left = list(states)

        def status() -> connection.ConnectionStatus:
            return connection.ConnectionStatus(
                state=left.pop(0), uri='test:///a', read_only=True,
                generation=1, events=True, keepalive=False,
                last_error='it died', queued_events=0, running_calls=0,
                abandoned_calls=0)

        notes = watch.Notes(stream, status)
        for _ in states:
            notes.look()
        return stream.getvalue().splitlines()

    def test_loss_and_return_are_told_once_each(self) -> None:
        self.assertEqual([
            'note: connected to test:///a',
            'note: no connection to test:///a, trying again (it died)',
            'note: connected to test:///a'],
            self._notes(State.CONNECTED, State.CONNECTED, State.BROKEN,
                        State.CONNECTING, State.BROKEN, State.CONNECTED))
