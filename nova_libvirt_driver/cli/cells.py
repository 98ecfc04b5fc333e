# SPDX-License-Identifier: Apache-2.0

"""Values as a table shows them; a program gets them as they are."""

from cliff import columns

from nova_libvirt_driver.cli import terminal


class Number(columns.FormattableColumn[int | None]):
    """A number that may be unknown: a dash for people, null for programs."""

    def human_readable(self) -> str:
        return '-' if self._value is None else str(self._value)


class Text(columns.FormattableColumn[str]):
    """A text that anybody may have written: harmless for people."""

    def human_readable(self) -> str:
        return terminal.plain(self._value)


class Lines(columns.FormattableColumn[list[str]]):
    """Several texts: a line each for people, a list for programs."""

    def human_readable(self) -> str:
        return '\n'.join(map(terminal.plain, self._value))


class Pairs(columns.FormattableColumn[dict[str, str]]):
    """Names with values: a line each for people, an object for programs."""

    def human_readable(self) -> str:
        return '\n'.join(terminal.plain(f'{name}={value}')
                         for name, value in self._value.items())
