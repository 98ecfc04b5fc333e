# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt server list`` and ``show``: the guests of one host.

Only looks; it changes no guest.
"""

import argparse
import contextlib
import fnmatch
from typing import Any
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module
    from nova_libvirt_driver.spec import guest as guest_spec

_COLUMNS = ('ID', 'Name', 'Status', 'vCPUs', 'Memory MiB', 'Address')
_OWNED = 'Owned'
_FOR_SPECS = ('json', 'yaml')
_STATUSES = (
    'running', 'paused', 'shutdown', 'suspended', 'rescued', 'crashed',
    instance_spec.STOPPED_BY_STORAGE)


class ServerList(base.Lister):
    """List the servers of this host, or of the service's with --rpc.

    Domains that something else has made are left out without --all. Of the
    ids, a table shows the beginning, which every command takes.

    Example: nova-libvirt server list -c Name -c Status -f json
    """

    remote = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--all', action='store_true',
            help='list domains too that something else has made')
        parser.add_argument(
            '--long', action='store_true', help='show whole ids')
        parser.add_argument(
            '--name', metavar='PATTERN',
            help="only names like this one, such as 'web*'")
        parser.add_argument(
            '--status', dest='statuses', action='append', default=[],
            metavar='STATUS', choices=_STATUSES,
            help=f'only these: {", ".join(_STATUSES)}; may be repeated')
        return parser

    def take_action(
            self, parsed_args: argparse.Namespace
            ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        with sources.local(base.arguments_of(self)) as driver:
            rows = [row for row in driver.list_instance_summaries()
                    if _is_wanted(row, parsed_args)]
            found = _addresses(driver, rows)
        rows.sort(key=lambda row: cells.natural(naming.shown(row)))
        id_ = cells.Text if parsed_args.long else cells.Id
        if parsed_args.all:
            return (*_COLUMNS, _OWNED), [
                (id_(row.uuid), *_cells(row, found), row.owned)
                for row in rows]
        self._tell_of(sum(not row.owned for row in rows))
        return _COLUMNS, [(id_(row.uuid), *_cells(row, found))
                          for row in rows if row.owned]

    def _tell_of(self, left_out: int) -> None:
        if left_out and terminal.is_terminal(self.app.stderr) and (
                base.arguments_of(self).verbose_level):
            self.app.stderr.write(
                f'note: --all lists {left_out} more that something else '
                'has made\n')


class ServerShow(base.ShowOne):
    """Show one server, by its name, its id or the beginning of its id.

    In JSON and YAML, "spec" is what it was made from: "server create --spec"
    takes it.

    Example: nova-libvirt server show web1
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='NAME', help='name or id')
        return parser

    def take_action(
            self, parsed_args: argparse.Namespace
            ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        # Lazy, as they bring the model of XML, and YAML.
        from nova_libvirt_driver.cli.commands.server import details
        from nova_libvirt_driver.cli.commands.server import document

        with sources.local(base.arguments_of(self)) as driver:
            row = naming.on_host(driver, parsed_args.server)
            xml = driver.get_domain_xml(row)
            spec = None
            # Nova's servers have no record.
            try:
                with contextlib.suppress(exception.InstanceNotFound):
                    spec = driver.get_spec(row)
            except exception.StorageFailure as error:
                self.app.stderr.write('note: whether ports are forwarded to '
                                      f'it is not known: {error}\n')
            fields = details.fields(
                xml, row.status, sources.images(cfg.CONF),
                reason=row.reason, autostart=driver.get_autostart(row),
                addresses=driver.get_addresses(row),
                forwards=details.forwards(spec))
            if spec is not None and parsed_args.formatter in _FOR_SPECS:
                fields[document.KEY] = document.of(spec)
        return tuple(fields), tuple(fields.values())


def _addresses(
        driver: 'driver_module.LibvirtDriver',
        rows: list[instance_spec.InstanceSummary],
) -> dict[str, Any]:
    """Return the first address of each server that has any.

    People are shown where a port of the host leads into one that has none.
    """
    if not rows:
        return {}
    known: dict[str, Any] = {}
    # A listing is worth having without them, too.
    with contextlib.suppress(exception.DriverError):
        for uuid, found in driver.list_addresses().items():
            known[uuid] = cells.Text(found[0].address)
    for row in rows:
        if (row.owned and row.uuid not in known
                and row.state is instance_spec.PowerState.RUNNING):
            with contextlib.suppress(exception.DriverError):
                known[row.uuid] = cells.Worded(
                    '', _first_forward(driver.get_spec(row)))
    return known


def _first_forward(spec: 'guest_spec.GuestSpec') -> str:
    return next((f'{one.address}:{one.host_port}' for nic in spec.nics
                 for one in nic.forwards), '')


def _cells(
        row: instance_spec.InstanceSummary,
        found: dict[str, Any]) -> tuple[Any, ...]:
    return (cells.Text(naming.shown(row)), row.status,
            cells.Number(row.vcpus), cells.Number(row.memory_mib),
            found.get(row.uuid, cells.Text('')))


def _is_wanted(
        row: instance_spec.InstanceSummary,
        parsed_args: argparse.Namespace) -> bool:
    pattern, statuses = parsed_args.name, parsed_args.statuses
    return (pattern is None or fnmatch.fnmatchcase(
        naming.shown(row), pattern)) and (
            not statuses or row.status in statuses)
