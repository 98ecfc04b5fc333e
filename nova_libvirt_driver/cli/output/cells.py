# SPDX-License-Identifier: Apache-2.0

"""Values as a table shows them; a program gets them as they are.

For programs everything is a number, a text, a list or an object. No text is
to be taken apart to find out what is in it.
"""

import datetime
import re
from typing import Any

from cliff import columns

from nova_libvirt_driver.cli.output import terminal

# cliff's class is a generic one since version 4.10 only.

_SHORT_ID = 8
_DIGITS = re.compile('([0-9]+)')


def natural(text: str) -> list[tuple[int, str]]:
    """Return what texts are compared by: vm-2 comes before vm-10."""
    return [(int(piece), '') if piece.isdecimal() else (-1, piece.lower())
            for piece in _DIGITS.split(text) if piece]


class Number(columns.FormattableColumn):  # type: ignore[type-arg]
    """A number that may be unknown: a dash for people, null for programs."""

    _value: int | None

    def human_readable(self) -> str:
        return '-' if self._value is None else str(self._value)


class Text(columns.FormattableColumn):  # type: ignore[type-arg]
    """A text that anybody may have written: harmless for people."""

    _value: str

    def __lt__(self, other: object) -> bool:
        return isinstance(other, Text) and (
            natural(self._value) < natural(other._value))

    def human_readable(self) -> str:
        return terminal.plain(self._value)


class Id(Text):
    """A uuid: its beginning for people, which commands take as well."""

    def human_readable(self) -> str:
        return super().human_readable()[:_SHORT_ID]


class Lines(columns.FormattableColumn):  # type: ignore[type-arg]
    """Several texts: a line each for people, a list for programs."""

    _value: list[str]

    def human_readable(self) -> str:
        return '\n'.join(map(terminal.plain, self._value))


class Names(Lines):
    """Several names: with commas between them for people."""

    def human_readable(self) -> str:
        return ', '.join(map(terminal.plain, self._value))


class Pairs(columns.FormattableColumn):  # type: ignore[type-arg]
    """Names with values: a line each for people, an object for programs."""

    _value: dict[str, str]

    def human_readable(self) -> str:
        return '\n'.join(terminal.plain(f'{name}={value}')
                         for name, value in self._value.items())


class Records(columns.FormattableColumn):  # type: ignore[type-arg]
    """Several things: their words in a line each, a list of objects."""

    _value: list[dict[str, Any]]

    def human_readable(self) -> str:
        return '\n'.join(terminal.plain(' '.join(
            str(word) for word in each.values() if word not in (None, '')))
            for each in self._value)


class Figures(Records):
    """Several things, each of whose numbers is named for people."""

    def human_readable(self) -> str:
        return '\n'.join(terminal.plain(', '.join(
            f'{name} {word}' for name, word in each.items()
            if word not in (None, ''))) for each in self._value)


class Numbers(columns.FormattableColumn):  # type: ignore[type-arg]
    """Several numbers."""

    _value: list[int]

    def human_readable(self) -> str:
        return ', '.join(map(str, self._value))


class Worded(columns.FormattableColumn):  # type: ignore[type-arg]
    """Anything, with words of its own for people."""

    def __init__(self, value: Any, words: str) -> None:
        super().__init__(value)
        self._words = words

    def human_readable(self) -> str:
        return terminal.plain(self._words)


def moment(epoch_s: float, words: str) -> Worded:
    """Return a time: in UTC and ISO 8601 for programs."""
    when = datetime.datetime.fromtimestamp(epoch_s, datetime.UTC)
    return Worded(when.strftime('%Y-%m-%dT%H:%M:%SZ'), words)
