# SPDX-License-Identifier: Apache-2.0

"""What of a guest's text reaches a terminal."""

import hypothesis
from hypothesis import strategies

from nova_libvirt_driver.cli.output import terminal
from tests import base


class CleanerTest(base.TestCase):

    def _clean(self, *pieces: bytes) -> str:
        cleaner = terminal.Cleaner()
        return ''.join(map(cleaner.feed, pieces))

    def test_text_newlines_and_tabs_stay(self) -> None:
        self.assertEqual('a\tb\nü€\n', self._clean('a\tb\r\nü€\n'.encode()))

    def test_sequences_are_left_out(self) -> None:
        for sequence in (
                b'\x1b[31;1m', b'\x1b[2J', b'\x1b[?25l', b'\x1b]0;title\x07',
                b'\x1b]52;c;cm0gLXJm\x1b\\', b'\x1bPq#0~\x1b\\', b'\x1b(B',
                b'\x1bc', b'\x1b_x\x1b\\', '\x9b5A'.encode(),
                '\x9dtitle\x9c'.encode(), b'\x07', b'\x08', b'\x7f', b'\0',
                '\u202e'.encode(), '\u2028'.encode()):
            with self.subTest(sequence=sequence):
                self.assertEqual(
                    'ab', self._clean(b'a' + sequence + b'b'))

    def test_a_sequence_may_come_in_pieces(self) -> None:
        self.assertEqual('ab', self._clean(b'a\x1b', b'[3', b'1m', b'b'))
        self.assertEqual('aüb', self._clean(b'a\xc3', b'\xbcb'))

    def test_a_title_without_an_end_hides_one_line_only(self) -> None:
        self.assertEqual('a\nb\n', self._clean(b'a\x1b]0;hidden\nb\n'))

    def test_a_sequence_within_another_begins_anew(self) -> None:
        self.assertEqual('ab', self._clean(b'a\x1b[1\x1b[2Jb'))

    def test_bytes_that_are_no_text_are_shown_as_such(self) -> None:
        self.assertEqual('a\ufffdb', self._clean(b'a\xffb'))

    @hypothesis.settings(deadline=None)
    @hypothesis.given(
        strategies.lists(strategies.binary(max_size=40), max_size=5))
    def test_nothing_that_a_terminal_obeys_comes_through(
            self, pieces: list[bytes]) -> None:
        shown = self._clean(*pieces)

        self.assertNotRegex(
            shown, '[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e]')

    def test_a_name_of_half_characters_is_shown(self) -> None:
        self.assertEqual('a?b', terminal.plain('a\ud800b'))
