# SPDX-License-Identifier: Apache-2.0

"""What the commands have in common."""

import argparse

from cliff import command
from cliff import lister
from cliff import show


class Command(command.Command):
    """A command that prints text of its own."""

    def get_epilog(self) -> str:
        # That of cliff looks through every installed distribution.
        return ''


class Lister(lister.Lister):
    """A command that prints rows."""

    def get_epilog(self) -> str:
        return ''


class ShowOne(show.ShowOne):
    """A command that prints the fields of one thing."""

    def get_epilog(self) -> str:
        return ''


def arguments_of(command: command.Command) -> argparse.Namespace:
    """Return the global options of the command line."""
    return command.app.options
