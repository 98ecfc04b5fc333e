# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt health`` as whoever asks every few seconds wants it.

What most of a command's time goes to is loading cliff and oslo.config. This
does without, for the arguments that monitors use, and prints what the
command would. It leaves all else to the command, and so whatever it is not
sure of.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import json
import os
import sys
from typing import Any

from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.cli import socket_option
from nova_libvirt_driver.cli import terminal
from nova_libvirt_driver.cli import verdict

_OPTIONS = ('--config-file', '--timeout', '--socket', '--format')
_PLAIN = (str, int, float, type(None))


class Unsure(Exception):
    """The command is to do it."""


def run(argv: Sequence[str]) -> int | None:
    """Do what the arguments say; return the exit code.

    :returns: None when nothing was done, because it is not for here
    """
    try:
        options = _options(argv)
        code, fields = verdict.ask(_path(options), _timeout_s(options))
        sys.stdout.write(_printed(fields, options.get('--format', 'table')))
        sys.stdout.flush()
    except BrokenPipeError:
        terminal.discard(sys.stdout)
        return exit_code.ExitCode.PIPE_CLOSED
    except KeyboardInterrupt:
        sys.stderr.write('Error: interrupted\n')
        return exit_code.ExitCode.INTERRUPTED
    except Exception:
        # The command comes to the same, and says what it is about.
        return None
    return code


def _options(argv: Sequence[str]) -> dict[str, str]:
    """Return the options of a command line that asks for health."""
    if 'health' not in argv:
        raise Unsure
    options: dict[str, str] = {}
    commands = []
    words = iter(argv)
    for word in words:
        name, sign, value = word.partition('=')
        if name == '-f':
            name = '--format'
        if name not in _OPTIONS:
            commands.append(word)
            continue
        if not sign:
            value = next(words)
        if name in options or not value or value.startswith('-'):
            raise Unsure
        options[name] = value
    if commands != ['health']:
        raise Unsure
    return options


def _path(options: dict[str, str]) -> str:
    if '--socket' in options:
        return options['--socket']
    file = options.get('--config-file')
    return socket_option.path([file] if file else [], os.environ)


def _timeout_s(options: dict[str, str]) -> float | None:
    if '--timeout' not in options:
        return None
    value = float(options['--timeout'])
    if not verdict.MIN_TIMEOUT_S <= value < float('inf'):
        raise Unsure
    return value


def _printed(fields: verdict.Fields, layout: str) -> str:
    if layout == 'json':
        return json.dumps(fields, indent=2) + '\n'
    if layout == 'value':
        text = ''.join(f'{value}\n' for value in fields.values())
    elif layout == 'table':
        text = '\n'.join(_table(fields)) + '\n'
    else:
        raise Unsure
    if not text.isascii():
        # How wide characters are, and whether they can be printed.
        raise Unsure
    return text


def _table(fields: verdict.Fields) -> Iterator[str]:
    rows = [('Field', 'Value'), *(
        row for name, value in fields.items() for row in _rows(name, value))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = '+'.join(('', *('-' * (width + 2) for width in widths), ''))
    if not _fits(len(rule)):
        raise Unsure
    for number, cells in enumerate(rows):
        if number < 2:
            yield rule
        padded = (f' {cell:<{width}} '
                  for cell, width in zip(cells, widths, strict=True))
        yield '|'.join(('', *padded, ''))
    yield rule


def _rows(name: str, value: Any) -> Iterator[tuple[str, str]]:
    text = verdict.for_people(value)
    if not isinstance(text, _PLAIN) or '\t' in str(text):
        raise Unsure
    for line in str(text).split('\n'):
        yield name, line
        name = ''


def _fits(width: int) -> bool:
    """Say whether a table is printed as it is."""
    if any(name.startswith('CLIFF_') for name in os.environ):
        return False
    return not sys.stdout.isatty() or (
        width <= os.get_terminal_size().columns)
