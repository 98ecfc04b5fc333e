# SPDX-License-Identifier: Apache-2.0

"""What the commands have in common."""

import argparse
from typing import Any

from cliff import app as cliff_app
from cliff import command
from cliff import lister
from cliff import show

from nova_libvirt_driver.cli.output import plain_formats


class Command(command.Command):
    """A command that prints text of its own."""

    def get_epilog(self) -> str:
        # That of cliff looks through every installed distribution.
        return ''


class Lister(lister.Lister):
    """A command that prints rows."""

    def __init__(
            self, app: cliff_app.App, app_args: argparse.Namespace | None,
            cmd_name: str | None = None) -> None:
        super().__init__(app, app_args, cmd_name=cmd_name)
        _install(self._formatter_plugins, 'list')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        # Nothing is an answer too, and looks like one.
        parser.set_defaults(print_empty=True)
        return parser

    def get_epilog(self) -> str:
        return ''


class ShowOne(show.ShowOne):
    """A command that prints the fields of one thing."""

    def __init__(
            self, app: cliff_app.App, app_args: argparse.Namespace | None,
            cmd_name: str | None = None) -> None:
        super().__init__(app, app_args, cmd_name=cmd_name)
        _install(self._formatter_plugins, 'show')
        plain_formats.install(
            self._formatter_plugins, 'show', shell=plain_formats.Shell())

    def get_epilog(self) -> str:
        return ''


def _install(plugins: Any, kind: str) -> None:
    plain_formats.install(plugins, kind, csv=plain_formats.Csv(),
                          value=plain_formats.Values())


def arguments_of(command: command.Command) -> argparse.Namespace:
    """Return the global options of the command line."""
    return command.app.options
