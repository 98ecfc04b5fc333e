# SPDX-License-Identifier: Apache-2.0

"""The formats csv, value and shell, of which the first two suit lists, too.

A text stands there as it is. Anything else, a list or an object too, is as
in JSON, so that nothing is to be guessed.
"""

import argparse
from collections.abc import Iterable
from collections.abc import Sequence
import importlib.metadata
import json
import re
import shlex
from typing import Any
from typing import TextIO

from cliff import columns
from cliff.formatters import base
from cliff.formatters import commaseparated
from cliff.formatters import shell
import stevedore
from stevedore import extension as stevedore_extension


class Csv(commaseparated.CSVLister, base.SingleFormatter):
    """A line of names, and one for each thing; nothing for what is null."""

    def emit_list(
            self, column_names: Sequence[str],
            data: Iterable[Sequence[Any]], stdout: TextIO,
            parsed_args: argparse.Namespace) -> None:
        super().emit_list(
            column_names, [list(map(_csv, row)) for row in data], stdout,
            parsed_args)

    def emit_one(
            self, column_names: Sequence[str], data: Sequence[Any],
            stdout: TextIO, parsed_args: argparse.Namespace) -> None:
        self.emit_list(column_names, [data], stdout, parsed_args)


class Values(base.ListFormatter, base.SingleFormatter):
    """Values without names: a line for each row, or for each field."""

    def add_argument_group(self, parser: argparse.ArgumentParser) -> None:
        """Add no option."""

    def emit_list(
            self, column_names: Sequence[str],
            data: Iterable[Sequence[Any]], stdout: TextIO,
            parsed_args: argparse.Namespace) -> None:
        stdout.writelines(f'{" ".join(map(_text, row))}\n' for row in data)

    def emit_one(
            self, column_names: Sequence[str], data: Sequence[Any],
            stdout: TextIO, parsed_args: argparse.Namespace) -> None:
        stdout.writelines(f'{_text(cell)}\n' for cell in data)


class Shell(shell.ShellFormatter):
    """Assignments for a shell, in which nothing of a value is carried out."""

    def emit_one(
            self, column_names: Sequence[str], data: Sequence[Any],
            stdout: TextIO, parsed_args: argparse.Namespace) -> None:
        for name, cell in zip(column_names, data, strict=True):
            variable = re.sub(r'\W', '_', name, flags=re.ASCII).lower()
            stdout.write(f'{parsed_args.prefix}{variable}='
                         f'{shlex.quote(_text(cell))}\n')


def install(
        plugins: 'stevedore.ExtensionManager[Any]',
        kind: str, **formatters: base.Formatter) -> None:
    """Have a command offer formatters, in place of cliff's of that name.

    :param kind: list or show
    """
    plugins.extensions[:] = [
        one for one in plugins.extensions if one.name not in formatters]
    for name, formatter in formatters.items():
        made = type(formatter)
        place = importlib.metadata.EntryPoint(
            name, f'{made.__module__}:{made.__name__}',
            f'cliff.formatter.{kind}')
        plugins.extensions.append(stevedore_extension.Extension(
            name, place, made, formatter))


def _value(cell: object) -> object:
    return (cell.machine_readable()
            if isinstance(cell, columns.FormattableColumn) else cell)


def _text(cell: object) -> str:
    value = _value(cell)
    return value if isinstance(value, str) else json.dumps(value)


def _csv(cell: object) -> object:
    value = _value(cell)
    if value is None:
        return ''
    # The writer tells numbers from texts.
    return value if type(value) in (int, float) else _text(cell)
