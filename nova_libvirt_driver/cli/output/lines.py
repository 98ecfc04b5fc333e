# SPDX-License-Identifier: Apache-2.0

"""The findings of a check as lines for a person.

One line for each check, its fix below it, and a sum at the end.
"""

import argparse
import collections
from collections.abc import Iterable
from collections.abc import Sequence
import importlib.metadata
from typing import Any
from typing import TextIO

from cliff.formatters import base
from stevedore import extension as stevedore_extension

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
        for values in data:
            row = dict(zip(column_names, values, strict=True))
            sums[str(row.get('Status', ''))] += 1
            stdout.write(_described(row))
        if 'Status' in column_names:
            stdout.write(_summed(sums))


def extension() -> 'stevedore_extension.Extension[base.ListFormatter]':
    """Return the formatter as cliff wants it, with the name "lines"."""
    place = importlib.metadata.EntryPoint(
        'lines', f'{__name__}:{LinesFormatter.__name__}',
        'cliff.formatter.list')
    return stevedore_extension.Extension(
        'lines', place, LinesFormatter, LinesFormatter())


def _described(row: dict[str, Any]) -> str:
    widths = {'Status': 8, 'Check': 16, 'Detail': 0}
    cells = [f'{row[name]:<{width}}' for name, width in widths.items()
             if name in row]
    lines = [' '.join(cells).rstrip()] if cells else []
    if row.get('Fix'):
        lines.append(f'{"":<8} fix: {row["Fix"]}')
    return ''.join(f'{line}\n' for line in lines)


def _summed(sums: collections.Counter[str]) -> str:
    return ', '.join(
        f'{sums[status]} {_inflected(status, sums[status])}'
        for status in _ORDER) + '\n'


def _inflected(status: str, number: int) -> str:
    return status + 's' * (status in ('warning', 'failure') and number != 1)
