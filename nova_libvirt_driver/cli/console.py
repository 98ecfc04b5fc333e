# SPDX-License-Identifier: Apache-2.0

"""Where the log records of the client go.

Errors reach a person as a report of their own, so by default no record is
shown; ``-v`` shows them in short, ``-vv`` and ``--debug`` in full.
"""

import argparse
import logging
from typing import TextIO

_NORMAL = 1
_FORMAT = '%(levelname)s %(name)s: %(message)s'
_FILE_FORMAT = '%(asctime)s %(levelname)s %(name)s: %(message)s'


class _Short(logging.Formatter):
    """Leaves tracebacks out."""

    def format(self, record: logging.LogRecord) -> str:
        copy = logging.makeLogRecord(record.__dict__)
        copy.exc_info = copy.exc_text = copy.stack_info = None
        return super().format(copy)


def configure(arguments: argparse.Namespace, stderr: TextIO) -> None:
    """Send log records where the options of the command line say.

    :raises OSError: the log file cannot be written
    """
    root = logging.getLogger()
    root.setLevel(logging.DEBUG)
    # Without any handler Python prints warnings by itself.
    root.addHandler(logging.NullHandler())
    if arguments.log_file:
        to_file = logging.FileHandler(arguments.log_file)
        to_file.setFormatter(logging.Formatter(_FILE_FORMAT))
        root.addHandler(to_file)
    if arguments.debug or arguments.verbose_level > _NORMAL:
        root.addHandler(_console(arguments, stderr))


def _console(
        arguments: argparse.Namespace, stderr: TextIO) -> logging.Handler:
    full = arguments.debug or arguments.verbose_level > _NORMAL + 1
    handler = logging.StreamHandler(stderr)
    handler.setLevel(logging.DEBUG if full else logging.INFO)
    kind = logging.Formatter if arguments.debug else _Short
    handler.setFormatter(kind(_FORMAT))
    return handler
