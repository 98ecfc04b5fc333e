# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt health``: can the service on this host do its work?

Asks the status socket of the running service. Libvirt is neither asked nor
loaded, so the answer comes at once also while libvirt hangs.
"""

import argparse
from typing import Any

from cliff import app as cliff_app

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.conf import monitoring
from nova_libvirt_driver.monitoring import inquiry

Code = exit_code.HealthCode

Fields = dict[str, Any]
"""What is shown: texts that anybody may have written, lists of such texts,
and numbers."""

TIMEOUT_S = 2.0

CODES = {'healthy': Code.HEALTHY, 'degraded': Code.DEGRADED}

_OF_SERVICE = ('host', 'pid', 'driver_version')
_OF_CONNECTION = (
    'uri', 'state', 'state_age_s', 'generation', 'reconnects', 'breaker',
    'last_error', 'events', 'queued_events', 'coalesced_events',
    'running_calls', 'abandoned_calls', 'call_limit')

Shown = tuple[tuple[str, ...], tuple[Any, ...]]


class Health(base.ShowOne):
    """Show whether the running service can do its work, and why not.

    Exit code: 0 healthy, 1 degraded, 2 unavailable or no service answers,
    255 internal error. No answer within --timeout, by default 2 seconds,
    is none.
    """

    def __init__(
            self, app: cliff_app.App, app_args: argparse.Namespace | None,
            cmd_name: str | None = None) -> None:
        super().__init__(app, app_args, cmd_name=cmd_name)
        self._code: int = Code.UNAVAILABLE

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--socket', default='', metavar='PATH',
            help='where the service is asked, instead of '
            '[nova_libvirt_driver] status_socket')
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        super().run(parsed_args)
        return self._code

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        arguments = base.arguments_of(self)
        # A wrong value of another option says nothing about the service.
        path = parsed_args.socket or monitoring.status_socket(
            configuration.unchecked(arguments))
        self._code, fields = ask(path, arguments.timeout)
        return tuple(fields), tuple(map(_cell, fields.values()))


def _cell(value: object) -> object:
    # What listens at the path may have written anything.
    if isinstance(value, list):
        return cells.Lines(value)
    if value is None:
        return cells.Number(None)
    return cells.Text(value) if isinstance(value, str) else value


def ask(path: str, timeout_s: float | None) -> tuple[int, Fields]:
    """Return the exit code, and what is shown.

    :param path: empty when the service listens nowhere
    :param timeout_s: None for two seconds
    """
    try:
        document = answer(path, timeout_s)
    except inquiry.NoAnswer as error:
        return Code.UNAVAILABLE, _judged(
            'unavailable', [str(error)], [error.next_step])
    verdict = str(document['health'].get('verdict', ''))
    return CODES.get(verdict, Code.UNAVAILABLE), described(document)


def described(document: dict[str, Any]) -> Fields:
    """Return what is shown of a service's answer."""
    health, connection = document['health'], document['connection']
    reasons = health.get('reasons', [])
    return {
        **_judged(str(health.get('verdict', '')),
                  [reason.get('text', '') for reason in reasons],
                  [reason.get('next_step', '') for reason in reasons]),
        **{name: document.get(name) for name in _OF_SERVICE},
        **{name: connection.get(name) for name in _OF_CONNECTION},
        'unresponsive': connection.get('unresponsive', [])}


def answer(path: str, timeout_s: float | None) -> dict[str, Any]:
    """Return what the running service says of itself.

    :param path: empty when the service listens nowhere
    :param timeout_s: None for two seconds
    :raises inquiry.NoAnswer: it says nothing
    """
    if not path:
        raise inquiry.NoAnswer(
            'no socket to ask at: it is switched off',
            'set [nova_libvirt_driver] status_socket and restart the '
            'service')
    return inquiry.ask(path, timeout_s or TIMEOUT_S)


def _judged(
        verdict: str, reasons: list[str], next_steps: list[str]) -> Fields:
    return {'verdict': verdict, 'reasons': reasons,
            'next_steps': next_steps}
