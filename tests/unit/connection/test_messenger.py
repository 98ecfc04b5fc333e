# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
import threading
import time
from typing import Any

import fixtures

from nova_libvirt_driver.connection import announcer as announcer_module
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_ports
from tests import base

wait_until = fake_ports.wait_until

AGAIN_S = 0.5
SHORT_S, LONG_S = 0.5, 30.0
"""Patience that ends soon, and one that a busy machine does not wear out."""


class MessengerTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.messenger = announcer_module.Messenger(
            AGAIN_S, patience_s=LONG_S)
        self.addCleanup(self.stop)
        self.hang = fake_fault.Hang()
        self.addCleanup(self.hang.release)
        self.told: list[Any] = []

    def stop(self) -> None:
        self.messenger.stop()

    def start(
            self, what: str, tell: Callable[[], object], *,
            is_state: bool = False) -> None:
        """Have a receiver told, and do not wait for it."""
        thread = threading.Thread(
            target=self.messenger.notify, args=(what, tell),
            kwargs={'is_state': is_state})
        thread.start()
        self.addCleanup(thread.join, 5)
        self.addCleanup(self.hang.release)

    def hanging(self) -> None:
        self.hang.hang()
        self.told.append('hung')

    def be_impatient(self) -> None:
        """Wait for no receiver that hangs."""
        self.messenger.stop()
        self.messenger = announcer_module.Messenger(
            AGAIN_S, patience_s=SHORT_S)

    def tell_hanging(self) -> None:
        """Have a receiver told that hangs, and wait for none from now on."""
        self.be_impatient()
        self.start('the hanging one', self.hanging)
        self.assertTrue(self.hang.wait_entered())

    def test_well_receiver_was_told_when_the_call_returns(self) -> None:
        for number in range(3):
            self.messenger.notify('it', lambda: self.told.append(number))

            self.assertEqual(number + 1, len(self.told))

    def test_receiver_that_fails_is_logged_and_costs_nothing(self) -> None:
        def fail() -> None:
            raise OSError('no space left on device')

        self.messenger.notify('the record', fail)
        self.messenger.notify('the record', lambda: self.told.append(1))

        self.assertIn('Could not notify the record', self.log.output)
        self.assertEqual([1], self.told)

    def test_receiver_that_fails_is_told_again_until_it_does_not(
            self) -> None:
        def fail_twice() -> None:
            self.told.append('word')
            if len(self.told) < 3:
                raise OSError('no space left on device')

        self.messenger.notify('the record', fail_twice)
        self.assertEqual(['word'], self.told)
        wait_until(lambda: 'Notified the record' in self.log.output,
                   'the word', timeout_s=2 * AGAIN_S + 10)

        self.assertEqual(['word'] * 3, self.told)

    def test_failures_of_one_receiver_are_made_good_at_once(self) -> None:
        state = ['old']

        def fail_once() -> None:
            self.told.append(state[0])
            if len(self.told) < 3:
                raise OSError('no space left on device')

        self.messenger.notify('the record', fail_once)
        state[0] = 'new'
        self.messenger.notify('the record', fail_once)
        wait_until(lambda: 'Notified the record' in self.log.output,
                   'the word', timeout_s=AGAIN_S + 10)

        self.assertEqual(['old', 'new', 'new'], self.told)

    def tell_across_a_restart(self, *, is_state: bool) -> None:
        """Tell twice, the first word ending last."""
        words = iter(('old', 'new', 'new'))

        def tell() -> None:
            word = next(words)
            if word == 'old':
                self.hang.hang()
            self.told.append(word)

        self.start('it', tell, is_state=is_state)
        self.assertTrue(self.hang.wait_entered())
        self.messenger.stop()
        self.messenger.start()
        self.messenger.notify('it', tell, is_state=is_state)
        self.hang.release()

    def test_state_that_outlives_a_restart_is_not_the_last_word(
            self) -> None:
        self.tell_across_a_restart(is_state=True)

        wait_until(lambda: len(self.told) == 3, 'the last word')
        self.assertEqual(['new', 'old', 'new'], self.told)

    def test_event_that_outlives_a_restart_is_told_once(self) -> None:
        self.tell_across_a_restart(is_state=False)

        wait_until(lambda: len(self.told) == 2, 'both')
        self.assertEqual(['new', 'old'], self.told)

    def test_patience_ends(self) -> None:
        self.be_impatient()
        started = time.monotonic()

        self.messenger.notify('the hanging one', self.hanging)

        self.assertTrue(
            SHORT_S * 0.9 <= time.monotonic() - started < LONG_S)
        self.hang.release()
        wait_until(lambda: self.told, 'the word')

    def test_word_that_waits_serves_for_another(self) -> None:
        state = ['old']
        words = [lambda: self.told.append((state[0], 'first')),
                 lambda: self.told.append((state[0], 'second')),
                 lambda: self.told.append((state[0], 'other'))]
        self.tell_hanging()

        # Each returns when its patience ends, hence waits by then.
        self.messenger.notify('it', words[0])
        state[0] = 'new'
        self.messenger.notify('it', words[1])
        self.messenger.notify('another', words[2])
        self.hang.release()

        wait_until(lambda: len(self.told) == 3, 'the words')
        self.assertEqual('hung', self.told[0])
        self.assertEqual({('new', 'first'), ('new', 'other')},
                         set(self.told[1:]))

    def test_word_being_told_serves_for_none(self) -> None:
        """Its receiver may have read the state already."""
        self.tell_hanging()
        self.messenger.notify(
            'the hanging one', lambda: self.told.append('new'))
        self.hang.release()

        wait_until(lambda: len(self.told) == 2, 'the words')
        self.assertEqual(['hung', 'new'], self.told)

    def test_receiver_with_news_does_not_wait_for_itself(self) -> None:
        inside: list[bool] = []

        def receiver() -> None:
            inside.append(self.messenger.inside())
            self.messenger.notify('it', lambda: self.told.append(1))

        started = time.monotonic()
        self.messenger.notify('it', receiver)

        self.assertLess(time.monotonic() - started, LONG_S / 2)
        self.assertEqual([True], inside)
        self.assertFalse(self.messenger.inside())

    def test_stop_waits_for_no_receiver(self) -> None:
        self.tell_hanging()
        started = time.monotonic()

        self.messenger.stop()

        self.assertLess(time.monotonic() - started, 10)

    def test_after_stop_nobody_is_told_and_nobody_waits(self) -> None:
        self.messenger.stop()
        started = time.monotonic()

        self.messenger.notify('it', lambda: self.told.append(1))

        self.assertLess(time.monotonic() - started, LONG_S / 2)
        self.assertEqual([], self.told)

    def test_what_waited_at_the_stop_is_not_told(self) -> None:
        self.tell_hanging()
        self.messenger.notify('it', lambda: self.told.append('stale'))

        self.messenger.stop()
        self.hang.release()

        wait_until(lambda: 'libvirt-messenger' not in {
            thread.name for thread in threading.enumerate()}, 'its end')
        self.assertEqual(['hung'], self.told)

    def test_after_start_it_tells_again_even_while_one_hangs(self) -> None:
        self.tell_hanging()
        self.messenger.notify('it', lambda: self.told.append('stale'))
        self.messenger.stop()

        self.messenger.start()
        self.messenger.notify('it', lambda: self.told.append('new'))

        self.assertEqual(['new'], self.told)
