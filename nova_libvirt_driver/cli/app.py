# SPDX-License-Identifier: Apache-2.0

"""The program ``nova-libvirt``: from the command line to an exit code.

It finds the command, runs it and turns whatever goes wrong into a few lines
on stderr. What the commands do is in modules of their own.
"""

import argparse
from collections.abc import Sequence
import contextlib
import dataclasses
import difflib
import inspect
import itertools
import logging
import sys
import traceback
from typing import Any
from typing import NoReturn
from typing import TextIO
import warnings

from cliff import app as cliff_app
from cliff import command as cliff_command

from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.cli import options
from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver.cli import table
from nova_libvirt_driver import version

_DESCRIPTION = 'Make guests on one compute host, and look after them.'

_NORMAL_VERBOSITY = 1
# How alike words have to be to be taken for a slip, of 1.
_CLOSE = 0.7
_FORMAT = '%(levelname)s %(name)s: %(message)s'
_FILE_FORMAT = '%(asctime)s %(levelname)s %(name)s: %(message)s'


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """The command that some words name."""

    name: str
    command: cliff_command.Command
    parser: argparse.ArgumentParser
    arguments: list[str]
    """What is left of the words, for the parser."""


class Client(cliff_app.App):
    """One run of the client."""

    NAME = configuration.PROG

    def __init__(self, **streams: Any) -> None:
        super().__init__(
            description=_DESCRIPTION, version=version.version(),
            command_manager=table.CommandTable(), **streams)
        self._running = ''

    def build_option_parser(
            self, description: str | None, version: str | None,
            argparse_kwargs: dict[str, Any] | None = None,
            ) -> argparse.ArgumentParser:
        parser = options.parser(
            self.NAME, description or '', version or '')
        return _raising(parser, f'{self.NAME} --help')

    def run(self, argv: Sequence[str]) -> int:
        """Do what the command line says and return the exit code.

        Errors are printed on stderr; none is raised.
        """
        self.options = argparse.Namespace(debug='--debug' in argv)
        try:
            code = self._run(list(argv))
            self.stdout.flush()
        except BrokenPipeError:
            terminal.discard(self.stdout)
            return exit_code.ExitCode.PIPE_CLOSED
        except SystemExit as done:
            return done.code if isinstance(done.code, int) else 0
        except (Exception, KeyboardInterrupt) as error:
            return self.fail(error)
        return code

    def fail(self, error: BaseException) -> int:
        """Print what is to be said about an error; return its code."""
        if self.options.debug:
            traceback.print_exception(error, file=self.stderr)
        report = errors.describe(error, self._tried())
        with contextlib.suppress(BrokenPipeError):
            self.stderr.write('\n'.join([*report.lines(), '']))
            self.stderr.flush()
        if report.unexpected and self._running in exit_code.OWN_CODES:
            # Their 1 would say something else.
            return exit_code.DoctorCode.INTERNAL_ERROR
        return report.code

    def find(self, words: Sequence[str]) -> Found:
        """Return the command that *words* begin with.

        :raises UsageError: there is no such command
        """
        try:
            kind, name, rest = self.command_manager.find_command(list(words))
        except ValueError:
            raise self._unknown(list(words)) from None
        command = kind(self, self.options, cmd_name=name)
        prog = f'{self.NAME} {name}'
        parser = _raising(command.get_parser(prog), f'{prog} --help')
        return Found(name, command, parser, rest)

    def print_help(self) -> None:
        """Print the options and the commands."""
        self.parser.print_help(self.stdout)
        self.stdout.write('\ncommands:\n')
        self.print_commands('')

    def print_commands(self, beginning: str) -> bool:
        """Print the commands that begin like that; False for none."""
        found = [(name, place) for name, place in sorted(self.command_manager)
                 if name.startswith(beginning)]
        width = max((len(name) for name, _ in found), default=0)
        for name, place in found:
            first, *_ = (place.load().__doc__ or '').splitlines() or ['']
            self.stdout.write(f'  {name:<{width}}  {first.rstrip(".")}\n')
        return bool(found)

    def _run(self, argv: list[str]) -> int:
        self.options, words = self.parser.parse_known_args(argv)
        _send_records(self.options, self.stderr)
        if self.options.help:
            words.insert(0, 'help')
        if not words:
            raise errors.UsageError(
                'no command given', f'{self.NAME} --help')
        found = self.find(words)
        self._running = found.name
        arguments = _parsed(found)
        self._refuse_remote(found)
        return found.command.run(arguments)

    def _refuse_remote(self, found: Found) -> None:
        if self.options.rpc and not getattr(found.command, 'remote', False):
            raise errors.UsageError(
                f'{found.name} cannot be asked of a compute service',
                f'leave --rpc out, and run it on {self.options.rpc}')

    def _unknown(self, words: list[str]) -> errors.UsageError:
        if words[0].startswith('-'):
            return errors.UsageError(
                f'there is no option {words[0]}', f'{self.NAME} --help')
        words = list(itertools.takewhile(
            lambda word: not word.startswith('-'), words))
        text = ' '.join(words)
        begun = [name for name in table.COMMANDS
                 if name.startswith(f'{text} ')]
        if begun:
            return errors.UsageError(
                f'{text} is only the beginning of a command',
                f'go on: {", ".join(begun)}')
        close = ' or '.join(f'{self.NAME} {name}' for name in _close(words))
        return errors.UsageError(
            f'unknown command {text!r}',
            f'did you mean {close}? List all: {self.NAME} --help' if close
            else f'list what there is: {self.NAME} --help')

    def _tried(self) -> str:
        if not self._running:
            return ''
        return f'{self._running}{configuration.target(self.options)}'


def _parsed(found: Found) -> argparse.Namespace:
    """Return the arguments of a command.

    What follows -- may be for another program. argparse would take further
    ones away, and does not take what comes after an option for the rest.
    """
    given, rest = list(found.arguments), []
    if getattr(found.command, 'passes_on', False) and '--' in given:
        at = given.index('--')
        given, rest = given[:at], given[at + 1:]
    arguments = found.parser.parse_args(given)
    if rest:
        arguments.words = [*arguments.words, *rest]
    return arguments


def _close(words: Sequence[str]) -> list[str]:
    """Return the commands that somebody may have meant.

    What follows a command are its arguments; and some say the verb first.
    """
    length = max(len(name.split()) for name in table.COMMANDS)
    for taken in range(min(len(words), length), 0, -1):
        for order in (words[:taken], words[:taken][::-1]):
            found = difflib.get_close_matches(
                ' '.join(order), table.COMMANDS, n=1, cutoff=_CLOSE)
            if found:
                return found
    return []


def _raising(
        parser: argparse.ArgumentParser,
        advice: str) -> argparse.ArgumentParser:
    def refuse(message: str) -> NoReturn:
        raise errors.UsageError(message, _did_you_mean(
            message, parser) + advice)

    # Not by a subclass: cliff makes the parsers.
    setattr(parser, 'error', refuse)
    # The paragraphs of the descriptions are laid out by hand.
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = inspect.cleandoc(parser.description or '')
    return parser


def _did_you_mean(
        message: str, parser: argparse.ArgumentParser) -> str:
    known = [option for action in parser._actions
             for option in action.option_strings]
    for word in message.split():
        if word.startswith('--'):
            close = difflib.get_close_matches(
                word.partition('=')[0].rstrip(':'), known, n=1)
            if close and close != [word]:
                return f'did you mean {close[0]}? All are in '
    return ''


class _Short(logging.Formatter):
    """Leaves tracebacks out."""

    def format(self, record: logging.LogRecord) -> str:
        copy = logging.makeLogRecord(record.__dict__)
        copy.exc_info = copy.exc_text = copy.stack_info = None
        return super().format(copy)


def _send_records(arguments: argparse.Namespace, stderr: TextIO) -> None:
    """Send log records where the options of the command line say.

    Errors reach a person as a report of their own, so by default no record
    is shown; ``-v`` shows them in short, ``-vv`` and ``--debug`` in full.

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
    if arguments.debug or arguments.verbose_level > _NORMAL_VERBOSITY:
        root.addHandler(_console_handler(arguments, stderr))


def _console_handler(
        arguments: argparse.Namespace, stderr: TextIO) -> logging.Handler:
    full = (arguments.debug
            or arguments.verbose_level > _NORMAL_VERBOSITY + 1)
    handler = logging.StreamHandler(stderr)
    handler.setLevel(logging.DEBUG if full else logging.INFO)
    kind = logging.Formatter if arguments.debug else _Short
    handler.setFormatter(kind(_FORMAT))
    return handler


def main(argv: Sequence[str] | None = None) -> int:
    """Run the client; the entry point of the program.

    :param argv: arguments without the program's name, by default those of
        the process
    """
    if not sys.warnoptions:
        # Those of libraries say nothing to users of the client.
        warnings.simplefilter('ignore')
    return Client().run(sys.argv[1:] if argv is None else argv)
