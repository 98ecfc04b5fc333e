# SPDX-License-Identifier: Apache-2.0

"""The line of progress, on a real pseudo-terminal."""

import contextlib
import fcntl
import os
import pty
import struct
import termios
from typing import TextIO

from nova_libvirt_driver.cli.output import progress
from nova_libvirt_driver import ports
from tests import base
from tests.unit.cli import base as cli_base

_NO_COLOR = {'NO_COLOR': '1'}


class ProgressTest(base.TestCase):

    def _terminal(self, columns: int) -> tuple[int, TextIO]:
        """Return what the terminal got, and the stream to write to it."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ,
                    struct.pack('HHHH', 24, columns, 0, 0))
        self.addCleanup(os.close, ours)
        stream = open(theirs, 'w', encoding='utf-8')
        self.addCleanup(stream.close)
        return ours, stream

    def _shown(
            self, environ: dict[str, str] | None = None,
            columns: int = 80) -> str:
        ours, stream = self._terminal(columns)
        with progress.shown(stream, 'creating web1', quiet=False,
                            environ=environ or {}) as line:
            line.step('image')
            line.advance(0, 4)
            line.advance(1, 4)
            line.advance(1, 4)
            line.step('a')
        stream.close()
        return _everything(ours)

    def test_each_step_and_percent_is_the_same_line(self) -> None:
        bar = '[######                  ]'

        pieces = self._shown(_NO_COLOR).split('\r')

        self.assertEqual([
            '', 'creating web1: image',
            f'creating web1: image [{" " * 24}]   0%',
            f'creating web1: image {bar}  25%', 'creating web1: a'],
            [piece.rstrip(' ') for piece in pieces[:5]])
        self.assertNotIn('\n', ''.join(pieces))

    def test_the_line_is_gone_at_the_end(self) -> None:
        without = self._shown(_NO_COLOR)
        colored = self._shown()

        self.assertTrue(without.endswith(f'\r{" " * 16}\r'))
        self.assertTrue(colored.endswith('\r\x1b[K\r'))

    def test_colors_are_left_out_when_they_are_not_liked(self) -> None:
        self.assertIn('\x1b[1mcreating web1\x1b[0m', self._shown())
        self.assertNotIn('\x1b', self._shown(_NO_COLOR))
        self.assertNotIn('\x1b', self._shown({'TERM': 'dumb'}))

    def test_the_line_is_no_wider_than_the_terminal(self) -> None:
        for columns in (10, 30, 59, 60):
            with self.subTest(columns=columns):
                pieces = self._shown(_NO_COLOR, columns).split('\r')

                self.assertLess(max(map(len, pieces)), columns)

    def _copied(self, total: int, columns: int = 80) -> list[str]:
        """Return the lines of a copy of 512 MiB in 4 seconds."""
        ours, stream = self._terminal(columns)
        now = [0.0]
        line = progress.Line(
            stream, 'adding debian', color=False, clock=lambda: now[0])
        line.step('copy')
        for second in range(5):
            now[0] = float(second)
            line.advance(second * (128 << 20), total)
        stream.close()
        return [piece.rstrip(' ') for piece in _everything(ours).split('\r')]

    def test_bytes_have_a_rate_and_a_time_that_is_left(self) -> None:
        lines = self._copied(2 << 30)

        self.assertEqual(
            'adding debian: copy [#                   ]   6%'
            ' 0.1/2.0 GiB 128 MiB/s', lines[3].rpartition(' 0:15')[0])
        self.assertTrue(lines[-1].endswith(
            '25% 0.5/2.0 GiB 128 MiB/s 0:12 left'), lines[-1])
        self.assertLess(max(map(len, lines)), 80)

    def test_an_unknown_total_shows_what_came_and_how_fast(self) -> None:
        self.assertEqual('adding debian: copy 512.0 MiB 128 MiB/s',
                         self._copied(0)[-1])

    def test_figures_fit_into_a_narrow_terminal(self) -> None:
        self.assertLess(max(map(len, self._copied(2 << 30, 50))), 50)

    def test_an_unknown_total_shows_no_bar(self) -> None:
        ours, stream = self._terminal(80)
        with progress.shown(stream, 'x', quiet=False,
                            environ=_NO_COLOR) as line:
            line.step('copy')
            line.advance(5, 0)

        stream.close()
        self.assertNotIn('%', _everything(ours))

    def test_nothing_is_shown_where_nobody_looks(self) -> None:
        _, stream = self._terminal(80)
        file = cli_base.Stream()

        for wanted, quiet in ((stream, True), (file, False)):
            with progress.shown(wanted, 'x', quiet=quiet) as line:
                self.assertIsInstance(line, ports.NullProgress)

    def test_a_failure_takes_the_line_away_too(self) -> None:
        ours, stream = self._terminal(80)

        def fail() -> None:
            with progress.shown(stream, 'x', quiet=False,
                                environ=_NO_COLOR) as line:
                line.step('copy')
                raise OSError('full')

        self.assertRaises(OSError, fail)
        stream.close()

        self.assertTrue(_everything(ours).endswith('\r'))


def _everything(terminal: int) -> str:
    pieces = []
    # One read need not bring all; the end of a terminal is an error.
    with contextlib.suppress(OSError):
        while piece := os.read(terminal, 65536):
            pieces.append(piece)
    return b''.join(pieces).decode()
