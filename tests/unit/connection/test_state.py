# SPDX-License-Identifier: Apache-2.0

import itertools

from nova_libvirt_driver.connection import session
from tests import base

STATES = list(session.State)

FORBIDDEN = {
    # Nothing is connected without an attempt.
    ('disconnected', 'connected'),
    ('broken', 'connected'),
    # Nothing breaks that was never there.
    ('disconnected', 'broken'),
    # What works is not replaced before it is given up.
    ('connected', 'connecting'),
}


class AdvanceTest(base.TestCase):

    def test_only_what_makes_sense_is_allowed(self) -> None:
        refused = set()
        for pair in itertools.permutations(STATES, 2):
            current = session.Current()
            current.state = pair[0]
            try:
                current.advance(pair[1])
                self.assertIs(pair[1], current.state)
            except ValueError:
                refused.add(pair)

        self.assertEqual(FORBIDDEN, {(str(a), str(b)) for a, b in refused})

    def test_refusal_names_both_states(self) -> None:
        error = self.assertRaises(
            ValueError, session.Current().advance, session.State.CONNECTED)

        self.assertIn('disconnected', str(error))
        self.assertIn('connected', str(error))

    def test_no_state_is_a_dead_end(self) -> None:
        for one in STATES:
            self.assertTrue(
                [pair for pair in session.ALLOWED if pair[0] == one],
                f'{one} leads nowhere')
            self.assertTrue(
                [pair for pair in session.ALLOWED if pair[1] == one],
                f'nothing leads to {one}')


class CurrentTest(base.TestCase):

    def test_it_counts_sessions_and_nothing_else(self) -> None:
        current = session.Current()
        for name in ('connecting', 'connected', 'connected', 'broken',
                     'connecting', 'broken', 'connecting', 'connected'):
            current.advance(session.State(name))

        self.assertEqual(2, current.sessions)

    def test_staying_in_a_state_makes_it_no_younger(self) -> None:
        current = session.Current()
        before = current.age_s

        current.advance(session.State.DISCONNECTED)

        self.assertGreaterEqual(current.age_s, before)

    def test_what_is_not_allowed_changes_nothing(self) -> None:
        current = session.Current()

        self.assertRaises(ValueError, current.advance, session.State.CONNECTED)

        self.assertEqual('disconnected', current.state)
