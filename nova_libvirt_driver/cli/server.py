# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt server``: the guests of one host.

Only looks; it changes no guest.
"""

import argparse
from collections.abc import Iterator
from typing import Any

from cliff import columns

from nova_libvirt_driver.cli import commands
from nova_libvirt_driver.cli import sources

_COLUMNS = ('ID', 'Name', 'Status', 'vCPUs', 'Memory MiB')


class Number(columns.FormattableColumn[int | None]):
    """A number that may be unknown: a dash for people, null for programs."""

    def human_readable(self) -> str:
        return '-' if self._value is None else str(self._value)


class ServerList(commands.Lister):
    """List the guests of this host, or of the service's with --rpc."""

    remote = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        # No guests are an answer too, and look like one.
        parser.set_defaults(print_empty=True)
        return parser

    def take_action(
            self, parsed_args: argparse.Namespace
            ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        arguments = commands.arguments_of(self)
        rows = _remote_rows if arguments.rpc else _local_rows
        return _COLUMNS, list(rows(arguments))


def _local_rows(arguments: argparse.Namespace) -> Iterator[tuple[Any, ...]]:
    with sources.local(arguments) as driver:
        for row in driver.list_instance_summaries():
            yield (row.uuid, row.name, row.state.name.lower(),
                   Number(row.vcpus), Number(row.memory_mib))


def _remote_rows(arguments: argparse.Namespace) -> Iterator[tuple[Any, ...]]:
    with sources.remote(arguments) as client:
        for row in client.list_instances():
            yield (row['uuid'], row['name'], row['state'],
                   Number(row['vcpus']), Number(row['memory_mib']))
