# SPDX-License-Identifier: Apache-2.0

"""How far a verb is, on the last line of a person's terminal.

The line is on stderr, is written over itself, and is gone at the end.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import os
import time
from typing import TextIO

from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver import ports

_WIDTH = 80
_BAR_WIDTH = 24
_MIN_BAR_WIDTH = 5
_MIN_FIGURES_BYTES = 1 << 20
# Until then a rate says nothing, and as often a new one is shown.
_RATE_S = 1.0
_AGAIN_S = 0.5
_UNITS = (('GiB', 1 << 30), ('MiB', 1 << 20), ('KiB', 1 << 10))
_BOLD, _NORMAL, _ERASE = '\x1b[1m', '\x1b[0m', '\x1b[K'


class Line:
    """Writes steps, percentages, rates and the time that is left.

    See :class:`ports.Progress`.

    :param stream: a terminal
    :param title: what is being done
    :param color: whether the terminal understands escape sequences, and
        the person likes them
    :param clock: gives seconds, for rates
    """

    def __init__(
            self, stream: TextIO, title: str, *, color: bool,
            clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._title = title
        self._color = color
        self._step = ''
        self._percent = -1
        self._shown = 0
        self._clock = clock
        # When the step began to advance, and from how much; and when it was
        # shown last.
        self._begun: tuple[float, int] | None = None
        self._shown_at = 0.0

    def step(self, name: str) -> None:
        """Show that a step begins."""
        self._step, self._percent, self._begun = name, -1, None
        self._write(f'{self._title}: {name}')

    def advance(self, done: int, total: int) -> None:
        """Show how much is done, at each new percent and twice a second."""
        now = self._clock()
        if self._begun is None:
            self._begun = now, done
        percent = min(100, done * 100 // total) if total > 0 else -1
        if percent == self._percent and (
                max(done, total) < _MIN_FIGURES_BYTES
                or now - self._shown_at < _AGAIN_S):
            return
        self._percent, self._shown_at = percent, now
        begin = f'{self._title}: {self._step}'
        end = f' {percent:3d}%' if percent >= 0 else ''
        if max(done, total) >= _MIN_FIGURES_BYTES:
            end += self._figures(done, total, now)
        self._write(f'{begin}{self._bar(len(begin + end), percent)}{end}')

    def _bar(self, taken: int, percent: int) -> str:
        width = min(_BAR_WIDTH, self._width() - 1 - taken - len(' []'))
        if percent < 0 or width < _MIN_BAR_WIDTH:
            return ''
        return f' [{"#" * (width * percent // 100):<{width}}]'

    def _figures(self, done: int, total: int, now: float) -> str:
        unit, size = _unit(max(done, total))
        whole = f'/{total / size:.1f}' if total > 0 else ''
        text = f' {done / size:.1f}{whole} {unit}'
        begun_s, from_bytes = self._begun or (now, done)
        if now - begun_s < _RATE_S or done <= from_bytes:
            return text
        rate = (done - from_bytes) / (now - begun_s)
        unit, size = _unit(rate)
        text += f' {rate / size:.0f} {unit}/s'
        return text + (f' {_time((total - done) / rate)} left'
                       if total > done else '')

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._write('')

    def _write(self, text: str) -> None:
        # The last column stays free: some terminals begin a new line there.
        text = terminal.plain(text)[:self._width() - 1]
        padding = '' if self._color else ' ' * (self._shown - len(text))
        self._shown = len(text)
        self._stream.write(f'\r{self._decorated(text)}{padding}'
                           + '\r' * (not text))
        self._stream.flush()

    def _decorated(self, text: str) -> str:
        if not self._color:
            return text
        title = text[:len(self._title)]
        bold = f'{_BOLD}{title}{_NORMAL}' if title else ''
        return f'{bold}{text[len(title):]}{_ERASE}'

    def _width(self) -> int:
        try:
            return os.get_terminal_size(
                self._stream.fileno()).columns or _WIDTH
        except (OSError, ValueError):
            return _WIDTH


def _unit(number: float) -> tuple[str, int]:
    return next((each for each in _UNITS if number >= each[1]), ('B', 1))


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f'{hours}:{minutes:02d}:{rest:02d}' if hours
            else f'{minutes}:{rest:02d}')


@contextlib.contextmanager
def shown(
        stream: TextIO, title: str, *, quiet: bool,
        environ: Mapping[str, str] = os.environ) -> Iterator[ports.Progress]:
    """Give a progress that is shown, if there is a person to look at it.

    :param stream: where errors go
    :param quiet: show nothing
    """
    if quiet or not terminal.is_terminal(stream):
        yield ports.NullProgress()
        return
    line = Line(stream, title, color=(
        not environ.get('NO_COLOR') and environ.get('TERM') != 'dumb'))
    try:
        yield line
    finally:
        line.clear()
