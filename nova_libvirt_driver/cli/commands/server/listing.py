# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt server list`` and ``show``: the guests of one host.

Only looks; it changes no guest.
"""

import argparse
from collections.abc import Iterable
from typing import Any

from oslo_config import cfg

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.spec import instance as instance_spec

_COLUMNS = ('ID', 'Name', 'Status', 'vCPUs', 'Memory MiB')
_OWNED = 'Owned'


class ServerList(base.Lister):
    """List the servers of this host, or of the service's with --rpc.

    Domains that something else has made are left out without --all.

    Example: nova-libvirt server list -c Name -c Status -f json
    """

    remote = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--all', action='store_true',
            help='list domains too that something else has made')
        # No guests are an answer too, and look like one.
        parser.set_defaults(print_empty=True)
        return parser

    def take_action(
            self, parsed_args: argparse.Namespace
            ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        arguments = base.arguments_of(self)
        rows = (_remote_rows if arguments.rpc else _local_rows)(arguments)
        if parsed_args.all:
            return (*_COLUMNS, _OWNED), [
                (*_cells(row), row.owned) for row in rows]
        self._tell_of(sum(not row.owned for row in rows))
        return _COLUMNS, [_cells(row) for row in rows if row.owned]

    def _tell_of(self, left_out: int) -> None:
        if left_out and terminal.is_terminal(self.app.stderr) and (
                base.arguments_of(self).verbose_level):
            self.app.stderr.write(
                f'note: --all lists {left_out} more that something else '
                'has made\n')


class ServerShow(base.ShowOne):
    """Show one server, by its name, its id or the beginning of its id.

    Example: nova-libvirt server show web1
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='NAME', help='name or id')
        return parser

    def take_action(
            self, parsed_args: argparse.Namespace
            ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        # Lazy, as it brings the model of XML.
        from nova_libvirt_driver.cli.commands.server import details

        with sources.local(base.arguments_of(self)) as driver:
            row = naming.find(driver.list_instance_summaries(),
                              parsed_args.server, cfg.CONF.host)
            xml = driver.get_domain_xml(row)
        fields = details.fields(
            xml, row.status, sources.images(cfg.CONF))
        return tuple(fields), tuple(fields.values())


def _cells(row: instance_spec.InstanceSummary) -> tuple[Any, ...]:
    return (row.uuid, cells.Text(naming.shown(row)),
            row.status, cells.Number(row.vcpus),
            cells.Number(row.memory_mib))


def _local_rows(
        arguments: argparse.Namespace
        ) -> Iterable[instance_spec.InstanceSummary]:
    with sources.local(arguments) as driver:
        return driver.list_instance_summaries()


def _remote_rows(
        arguments: argparse.Namespace
        ) -> Iterable[instance_spec.InstanceSummary]:
    with sources.remote(arguments) as client:
        return list(map(_summary, client.list_instances()))


def _summary(row: dict[str, Any]) -> instance_spec.InstanceSummary:
    return instance_spec.InstanceSummary(
        uuid=row['uuid'], name=row['name'],
        state=instance_spec.PowerState[row['state'].upper()],
        vcpus=row['vcpus'], memory_mib=row['memory_mib'],
        # A service of an older version does not say.
        owned=row.get('owned', True),
        display_name=row.get('display_name', ''),
        saved=row.get('saved', False))
