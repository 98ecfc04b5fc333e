# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt health``: can the service on this host do its work?

Asks the status socket of the running service. Libvirt is neither asked nor
loaded, so the answer comes at once also while libvirt hangs.
"""

import argparse
from typing import Any

from cliff import app as cliff_app

from nova_libvirt_driver.cli import cells
from nova_libvirt_driver.cli import commands
from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.conf import monitoring
from nova_libvirt_driver.monitoring import inquiry
from nova_libvirt_driver.spec import health as health_spec

Shown = tuple[tuple[str, ...], tuple[Any, ...]]
Code = exit_code.HealthCode
Verdict = health_spec.Verdict

TIMEOUT_S = 2.0

CODES = {
    Verdict.HEALTHY.value: Code.HEALTHY,
    Verdict.DEGRADED.value: Code.DEGRADED,
}

_OF_SERVICE = ('host', 'pid', 'driver_version')
_OF_CONNECTION = (
    'uri', 'state', 'state_age_s', 'generation', 'reconnects', 'breaker',
    'last_error', 'events', 'queued_events', 'coalesced_events',
    'running_calls', 'abandoned_calls', 'call_limit')


class Health(commands.ShowOne):
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
        arguments = commands.arguments_of(self)
        path = parsed_args.socket or monitoring.status_socket(
            configuration.load(arguments))
        try:
            document = _ask(path, arguments.timeout or TIMEOUT_S)
        except inquiry.NoAnswer as error:
            return _shown(Verdict.UNAVAILABLE, [str(error)],
                          [error.next_step])
        verdict = str(document['health'].get('verdict', ''))
        self._code = CODES.get(verdict, Code.UNAVAILABLE)
        return described(document)


def described(document: dict[str, Any]) -> Shown:
    """Return what is shown of a service's answer."""
    health, connection = document['health'], document['connection']
    reasons = health.get('reasons', [])
    names, values = _shown(
        health.get('verdict', ''),
        [reason.get('text', '') for reason in reasons],
        [reason.get('next_step', '') for reason in reasons])
    return (
        (*names, *_OF_SERVICE, *_OF_CONNECTION, 'unresponsive'),
        (*values, *(_cell(document.get(name)) for name in _OF_SERVICE),
         *(_cell(connection.get(name)) for name in _OF_CONNECTION),
         cells.Lines(connection.get('unresponsive', []))))


def _ask(path: str, timeout_s: float) -> dict[str, Any]:
    if not path:
        raise inquiry.NoAnswer(
            'no socket to ask at: it is switched off',
            'set [nova_libvirt_driver] status_socket and restart the '
            'service')
    return inquiry.ask(path, timeout_s)


def _shown(
        verdict: str, reasons: list[str], next_steps: list[str]) -> Shown:
    return (('verdict', 'reasons', 'next_steps'),
            (_cell(str(verdict)), cells.Lines(reasons),
             cells.Lines(next_steps)))


def _cell(value: object) -> object:
    # Whoever listens at the path may have written anything.
    return cells.Text(value) if isinstance(value, str) else value
