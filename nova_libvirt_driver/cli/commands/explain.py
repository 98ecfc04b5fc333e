# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt explain``: what an error of libvirt means."""

import argparse
from collections.abc import Iterable
import datetime
from typing import Any

from nova_libvirt_driver.calls import explanations
from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.commands import health
from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.conf import monitoring
from nova_libvirt_driver.monitoring import inquiry

_COLUMNS = ('Code', 'Name', 'Likely cause', 'Next step')

_PAUSED = 'pause'


class Explain(base.Lister):
    """Explain an error of libvirt by its number, its name or its words.

    Several causes may share a number. Without an argument, all that are
    known are listed. With --server, it is the last error of a disk of that
    server, as far as the running service has heard of one.

    Example: nova-libvirt explain 68
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'error', nargs='*', metavar='ERROR',
            help='as "68", "VIR_ERR_OPERATION_TIMEOUT" or a message')
        parser.add_argument(
            '--server', metavar='UUID', help='whose disk has failed')
        return parser

    def take_action(
            self, parsed_args: argparse.Namespace
            ) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
        if parsed_args.server:
            return _COLUMNS, [self._disk_error(parsed_args.server)]
        words = ' '.join(parsed_args.error)
        found = (explanations.search(words) if words
                 else list(explanations.table()))
        if not found:
            raise errors.NotFound(
                f'nothing is known of the error "{words}"',
                "look at the libvirt daemon's log, and list what is known: "
                'nova-libvirt explain')
        return _COLUMNS, [(each.code, each.name, each.cause, each.next_step)
                          for each in found]

    def _disk_error(self, uuid: str) -> tuple[Any, ...]:
        for found in self._disk_errors():
            if found.get('uuid') == uuid:
                return _row(found)
        raise errors.NotFound(
            f'the service has heard of no error of a disk of server {uuid}',
            'see what QEMU says of its disks now: virsh domblkerror')

    def _disk_errors(self) -> list[dict[str, Any]]:
        arguments = base.arguments_of(self)
        path = monitoring.status_socket(configuration.unchecked(arguments))
        try:
            document = health.answer(path, arguments.timeout)
        except inquiry.NoAnswer as error:
            raise errors.Unreachable(str(error), error.next_step) from error
        found: list[dict[str, Any]] = document['connection'].get(
            'disk_errors', [])
        return found


def _row(found: dict[str, Any]) -> tuple[Any, ...]:
    when = datetime.datetime.fromtimestamp(found['timestamp'], datetime.UTC)
    cause = f'disk {found["path"]} failed at {when:%Y-%m-%dT%H:%M:%SZ}'
    if found['action'] == _PAUSED:
        cause += ', and QEMU paused the server'
    # What helps a server that QEMU has paused helps the others, too.
    known, = explanations.search('I/O error')
    return (cells.Number(None), cells.Text(found['reason'] or 'I/O error'),
            cells.Text(cause), known.next_step)
