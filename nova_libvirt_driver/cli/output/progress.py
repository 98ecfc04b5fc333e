# SPDX-License-Identifier: Apache-2.0

"""How far a verb is, on the last line of a person's terminal.

The line is on stderr, is written over itself, and is gone at the end.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import os
from typing import TextIO

from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver import ports

_WIDTH = 80
_BAR_WIDTH = 24
_MIN_BAR_WIDTH = 60
_BOLD, _NORMAL, _ERASE = '\x1b[1m', '\x1b[0m', '\x1b[K'


class Line:
    """Writes steps and percentages; see :class:`ports.Progress`.

    :param stream: a terminal
    :param title: what is being done
    :param color: whether the terminal understands escape sequences, and
        the person likes them
    """

    def __init__(self, stream: TextIO, title: str, *, color: bool) -> None:
        self._stream = stream
        self._title = title
        self._color = color
        self._step = ''
        self._percent = -1
        self._shown = 0

    def step(self, name: str) -> None:
        """Show that a step begins."""
        self._step, self._percent = name, -1
        self._write(f'{self._title}: {name}')

    def advance(self, done: int, total: int) -> None:
        """Show how much is done, at each new percent."""
        percent = min(100, done * 100 // total) if total > 0 else -1
        if percent == self._percent:
            return
        self._percent = percent
        text = f'{self._title}: {self._step}'
        if self._width() >= _MIN_BAR_WIDTH:
            filled = _BAR_WIDTH * percent // 100
            text += f' [{"#" * filled:<{_BAR_WIDTH}}]'
        self._write(f'{text} {percent:3d}%')

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
