# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt health``: can the service on this host do its work?

Asks the status socket of the running service. Libvirt is neither asked nor
loaded, so the answer comes at once also while libvirt hangs. For the usual
arguments :mod:`nova_libvirt_driver.cli.quick` does the same, faster.
"""

import argparse
from typing import Any

from cliff import app as cliff_app

from nova_libvirt_driver.cli import cells
from nova_libvirt_driver.cli import commands
from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.cli import verdict
from nova_libvirt_driver.conf import monitoring

Shown = tuple[tuple[str, ...], tuple[Any, ...]]


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
        self._code: int = exit_code.HealthCode.UNAVAILABLE

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
        # A wrong value of another option says nothing about the service.
        path = parsed_args.socket or monitoring.status_socket(
            configuration.unchecked(arguments))
        self._code, fields = verdict.ask(path, arguments.timeout)
        return tuple(fields), tuple(map(_cell, fields.values()))


def _cell(value: object) -> object:
    # Whoever listens at the path may have written anything.
    if isinstance(value, list):
        return cells.Lines(value)
    return cells.Text(value) if isinstance(value, str) else value
