# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt help``: how to use the client or one of its commands.

Prints plain text, and asks neither libvirt nor the configuration.
"""

import argparse
from typing import cast
from typing import TYPE_CHECKING

from nova_libvirt_driver.cli.commands import base

if TYPE_CHECKING:
    from nova_libvirt_driver.cli import app


class Help(base.Command):
    """Explain a command, or list the commands."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'words', nargs='*', metavar='COMMAND', help='name of the command')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        client = cast('app.Client', self.app)
        words = ' '.join(parsed_args.words)
        if not words:
            client.print_help()
        elif not client.print_commands(f'{words} '):
            client.find(parsed_args.words).parser.print_help(client.stdout)
