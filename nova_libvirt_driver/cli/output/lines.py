# SPDX-License-Identifier: Apache-2.0

"""The findings of a check as lines for a person.

One line for each check, its fix below it, and a sum at the end.
"""

import argparse
import collections
from collections.abc import Iterable
from collections.abc import Sequence
import shutil
import textwrap
from typing import Any
from typing import TextIO

from cliff.formatters import base

from nova_libvirt_driver.cli.output import terminal

_MIN_WIDTH = 30
_ORDER = ('ok', 'warning', 'failure', 'skipped')


class LinesFormatter(base.ListFormatter):
    """Writes rows that have the columns Status, Check, Detail and Fix.

    A column that was not chosen is left out.
    """

    def add_argument_group(self, parser: argparse.ArgumentParser) -> None:
        """Add no option."""

    def emit_list(
            self, column_names: Sequence[str],
            data: Iterable[Sequence[Any]], stdout: TextIO,
            parsed_args: argparse.Namespace) -> None:
        sums: collections.Counter[str] = collections.Counter()
        # What is read by a program, grep among them, stays in one line.
        width = (shutil.get_terminal_size().columns
                 if terminal.is_terminal(stdout) else 0)
        for values in data:
            row = dict(zip(column_names, values, strict=True))
            sums[str(row.get('Status', ''))] += 1
            stdout.write(_described(row, width))
        if 'Status' in column_names:
            stdout.write(_summed(sums))


def _described(row: dict[str, Any], width: int) -> str:
    begin = ' '.join(f'{row[name]:<{size}}' for name, size in (
        ('Status', 8), ('Check', 16)) if name in row)
    lines = []
    if begin or 'Detail' in row:
        lines += _wrapped(f'{begin} ' if begin else '',
                          str(row.get('Detail', '')), width)
    if row.get('Fix'):
        lines += _wrapped(f'{"":<8} fix: ', str(row['Fix']), width)
    return ''.join(f'{line}\n' for line in lines)


def _wrapped(begin: str, text: str, width: int) -> list[str]:
    """Return a text beside a beginning, in lines of a width; 0 is any."""
    if width - len(begin) < _MIN_WIDTH:
        return [f'{begin}{text}'.rstrip()]
    return textwrap.wrap(
        text, width, initial_indent=begin,
        subsequent_indent=' ' * len(begin), break_long_words=False,
        break_on_hyphens=False) or [begin.rstrip()]


def _summed(sums: collections.Counter[str]) -> str:
    return ', '.join(
        f'{sums[status]} {_inflected(status, sums[status])}'
        for status in _ORDER) + '\n'


def _inflected(status: str, number: int) -> str:
    return status + 's' * (status in ('warning', 'failure') and number != 1)
