# SPDX-License-Identifier: Apache-2.0

"""Values as a table shows them; a program gets them as they are."""

from cliff import columns

from nova_libvirt_driver.cli.output import terminal

# cliff's class is a generic one since version 4.10 only.


class Number(columns.FormattableColumn):  # type: ignore[type-arg]
    """A number that may be unknown: a dash for people, null for programs."""

    _value: int | None

    def human_readable(self) -> str:
        return '-' if self._value is None else str(self._value)


class Text(columns.FormattableColumn):  # type: ignore[type-arg]
    """A text that anybody may have written: harmless for people."""

    _value: str

    def human_readable(self) -> str:
        return terminal.plain(self._value)


class Lines(columns.FormattableColumn):  # type: ignore[type-arg]
    """Several texts: a line each for people, a list for programs."""

    _value: list[str]

    def human_readable(self) -> str:
        return '\n'.join(map(terminal.plain, self._value))


class Pairs(columns.FormattableColumn):  # type: ignore[type-arg]
    """Names with values: a line each for people, an object for programs."""

    _value: dict[str, str]

    def human_readable(self) -> str:
        return '\n'.join(terminal.plain(f'{name}={value}')
                         for name, value in self._value.items())
