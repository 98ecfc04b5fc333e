# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt explain``: what an error of libvirt means."""

import argparse
from collections.abc import Iterable
from typing import Any

from nova_libvirt_driver.cli import commands
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.connection import explanations

_COLUMNS = ('Code', 'Name', 'Likely cause', 'Next step')


class Explain(commands.Lister):
    """Explain an error of libvirt by its number, its name or its words.

    Several causes may share a number. Without an argument, all that are
    known are listed.

    Example: nova-libvirt explain 68
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'error', nargs='*', metavar='ERROR',
            help='as "68", "VIR_ERR_OPERATION_TIMEOUT" or a message')
        return parser

    def take_action(
            self, parsed_args: argparse.Namespace
            ) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
        words = ' '.join(parsed_args.error)
        found = (explanations.search(words) if words
                 else list(explanations.TABLE))
        if not found:
            raise errors.NotFound(
                f'nothing is known of the error "{words}"',
                "look at the libvirt daemon's log, and list what is known: "
                'nova-libvirt explain')
        return _COLUMNS, [(each.code, each.name, each.cause, each.next_step)
                          for each in found]
