# SPDX-License-Identifier: Apache-2.0

"""An error as a person reads it: up to four plain lines and an exit code.

Everything that can end a command is described here. Tracebacks are not
printed from here; ``--debug`` brings them.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
from typing import ClassVar

from oslo_config import cfg

from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver import exception

ExitCode = exit_code.ExitCode

_UNCHANGED = 'nothing was changed'
_UNKNOWN = ('what was begun is finished or undone when the service starts '
            'again, or by the next command')

_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (exception.InvalidConfiguration, ExitCode.USAGE),
    (exception.InstanceExists, ExitCode.CONFLICT),
    (exception.InvalidRequest, ExitCode.USAGE),
    (exception.InstanceNotFound, ExitCode.NOT_FOUND),
    (exception.ImageNotFound, ExitCode.NOT_FOUND),
    (exception.WrongState, ExitCode.CONFLICT),
    (exception.GuestBusy, ExitCode.CONFLICT),
    (exception.GuestUnresponsive, ExitCode.TIMED_OUT),
    (exception.ForeignDomain, ExitCode.CONFLICT),
    (exception.ConsoleUnavailable, ExitCode.CONFLICT),
    (exception.AgentUnavailable, ExitCode.CONFLICT),
    (exception.WaitTimeout, ExitCode.TIMED_OUT),
    (exception.Cancelled, ExitCode.INTERRUPTED),
    (exception.CallTimeout, ExitCode.TIMED_OUT),
    (exception.HypervisorUnavailable, ExitCode.UNREACHABLE),
    (exception.CallBudgetExhausted, ExitCode.UNREACHABLE),
    (exception.RemoteError, ExitCode.UNREACHABLE),
)


class ClientError(Exception):
    """What the client itself finds wrong.

    :param message: what is wrong
    :param next_step: what to type or to do instead
    """

    code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.next_step = next_step


class UsageError(ClientError):
    """The command line, or a file it names, cannot be used."""

    code = ExitCode.USAGE


class NotFound(ClientError):
    """There is nothing of that name."""

    code = ExitCode.NOT_FOUND


class Conflict(ClientError):
    """It cannot be done with what is there."""

    code = ExitCode.CONFLICT


class Unreachable(ClientError):
    """There is nothing that could answer."""

    code = ExitCode.UNREACHABLE


class WaitTimeout(ClientError):
    """What the command waited for did not come in time."""

    code = ExitCode.TIMED_OUT


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What is said about one error."""

    error: str
    code: int
    tried: str = ''
    """What the command was doing, empty when it had not begun."""
    state: str = _UNCHANGED
    next_step: str = ''
    unexpected: bool = False
    """This error was not foreseen: the client itself is wrong."""

    def lines(self) -> list[str]:
        """Return the lines to print, none of them empty."""
        rows = (('Error: ', self.error), ('  Tried: ', self.tried),
                ('  State: ', self.state), ('  Next:  ', self.next_step))
        return [label + _one_line(text) for label, text in rows if text]


def describe(error: BaseException, tried: str = '') -> Report:
    """Return what to say about any error.

    :param tried: what the command was doing
    """
    report = _described(error, tried)
    notes = getattr(error, '__notes__', ())
    if not notes:
        return report
    return dataclasses.replace(report, state='; '.join(notes))


@contextlib.contextmanager
def state(text: str) -> Iterator[None]:
    """Say how things stand when something goes wrong within.

    :param text: what is printed instead of "nothing was changed"
    """
    try:
        yield
    except exception.ServiceLost:
        # It is not known.
        raise
    except BaseException as error:
        # That of an interruption says what became of the verb.
        if not (isinstance(error, KeyboardInterrupt)
                and hasattr(error, '__notes__')):
            error.add_note(text)
        raise


def _described(error: BaseException, tried: str) -> Report:
    if isinstance(error, KeyboardInterrupt):
        return Report('interrupted', ExitCode.INTERRUPTED, tried)
    if isinstance(error, exception.ServiceLost) and error.fields['changes']:
        return Report(str(error), _code(error), tried, _UNKNOWN,
                      error.next_step)
    if isinstance(error, exception.DriverError):
        return Report(str(error), _code(error), tried,
                      next_step=error.next_step)
    if isinstance(error, UsageError):
        return Report(str(error), error.code, state='',
                      next_step=error.next_step)
    if isinstance(error, ClientError):
        return Report(str(error), error.code, tried,
                      next_step=error.next_step)
    if isinstance(error, cfg.Error):
        return _configuration(error)
    if isinstance(error, ValueError) and _is_column(str(error)):
        return Report(str(error), ExitCode.USAGE, tried, state='')
    return _unexpected(error, tried)


def _code(error: exception.DriverError) -> ExitCode:
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return ExitCode.FAILED


def _configuration(error: cfg.Error) -> Report:
    return Report(
        f'the configuration cannot be read: {error}', ExitCode.USAGE,
        next_step='correct the file, or name another with --config-file')


def _unexpected(error: BaseException, tried: str) -> Report:
    if isinstance(error, ImportError) and _is_libvirt(error.name):
        missing = exception.LibvirtMissing(reason=str(error))
        return describe(missing, tried)
    if isinstance(error, OSError):
        return Report(_os_error(error), ExitCode.FAILED, tried)
    return Report(
        f'unexpected {type(error).__name__}: {error}', ExitCode.FAILED,
        tried, state='',
        next_step='run it again with --debug and report what it prints',
        unexpected=True)


def _is_column(text: str) -> bool:
    # cliff has no class of its own for a wrong argument of --column.
    return text.startswith('No recognized column names')


def _is_libvirt(module: str | None) -> bool:
    return module in ('libvirt', 'libvirtmod')


def _os_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    # That of a file that was opened by descriptor is a number.
    named = isinstance(error.filename, str) and error.filename
    return f'{error.filename}: {reason}' if named else reason


def _one_line(text: str) -> str:
    return terminal.plain(' '.join(text.split()))
