# SPDX-License-Identifier: Apache-2.0

"""What the commands have in common that do something to servers."""

import argparse
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.cli.output import progress
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import instance as instance_spec

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module

Summary = instance_spec.InstanceSummary
Listed = tuple[tuple[str, ...], list[tuple[Any, ...]]]

COLUMNS = ('ID', 'Name', 'Status')


class Verb(base.Lister):
    """Does the same to each of the servers that are named.

    All of them are looked up before anything is done. It stops at the
    first one that fails, and says which ones are done. With --quiet it
    prints nothing.
    """

    DOING: ClassVar[str]
    """What is on the line of progress, before the name."""
    DONE: ClassVar[str]
    """What is said of the servers before the one that failed."""
    LEAVES_RUNNING: ClassVar[bool] = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'servers', nargs='+', metavar='NAME',
            help='name, id, or the beginning of an id')
        return parser

    def act(
            self, driver: 'driver_module.LibvirtDriver', row: Summary,
            parsed_args: argparse.Namespace,
            line: ports.Progress) -> None:
        """Do it to one server."""
        raise NotImplementedError()

    def before(
            self, rows: Sequence[Summary],
            parsed_args: argparse.Namespace) -> None:
        """Look at all of them; raise if it is not to be done."""

    def status(
            self, driver: 'driver_module.LibvirtDriver',
            row: Summary) -> str:
        """Say how a server is afterwards."""
        return next(now.status for now in driver.list_instance_summaries()
                    if now.uuid == row.uuid)

    def produce_output(
            self, parsed_args: argparse.Namespace,
            column_names: Sequence[str], data: Any) -> int:
        if not base.arguments_of(self).verbose_level:
            return 0
        return super().produce_output(parsed_args, column_names, data)

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        arguments = base.arguments_of(self)
        with sources.working(arguments) as driver:
            rows = naming.find_all(driver.list_instance_summaries(),
                                   parsed_args.servers, cfg.CONF.host)
            self.before(rows, parsed_args)
            done: list[tuple[Any, ...]] = []
            for row in rows:
                with errors.state(self._state(done, row)):
                    self._act(driver, row, parsed_args)
                    done.append((
                        cells.Id(row.uuid), cells.Text(naming.shown(row)),
                        self.status(driver, row)))
        return COLUMNS, done

    def _act(
            self, driver: 'driver_module.LibvirtDriver', row: Summary,
            parsed_args: argparse.Namespace) -> None:
        quiet = not base.arguments_of(self).verbose_level
        name = naming.shown(row)
        with progress.shown(self.app.stderr, f'{self.DOING} {name}',
                            quiet=quiet) as line:
            self.act(driver, row, parsed_args, line)
        if self.LEAVES_RUNNING and not quiet:
            sources.note_end(self.app.stderr, driver, name)

    def _state(self, done: Sequence[tuple[Any, ...]], row: Summary) -> str:
        name = naming.shown(row)
        now = f'see how {name} is: nova-libvirt server show {row.uuid}'
        if not done:
            return now
        names = ', '.join(cell[1].human_readable() for cell in done)
        return f'{self.DONE}: {names}; {now}'


def recorded(
        driver: 'driver_module.LibvirtDriver', row: Summary) -> Summary:
    """Return a server, of which there is a record of what it was made from.

    The driver reads the record when it is the verb's turn.

    :raises Conflict: there is none, or it may name other volumes' devices
    """
    try:
        spec = driver.get_spec(row)
    except exception.InstanceNotFound as error:
        raise errors.Conflict(
            f'there is no record of what server {naming.shown(row)} was '
            'made from', 'leave it to the service that made it') from error
    for disk in spec.storage.volumes:
        if disk.id and disk.source.kind is disk_spec.SourceKind.BLOCK:
            _check_device(disk.id, naming.shown(row))
    return row


def _check_device(volume_id: str, name: str) -> None:
    """See that a device is still that of a volume of this host.

    :raises Conflict: it is not, or the volume is another service's
    """
    from nova_libvirt_driver.cli import volumes

    found = [volume for volume in sources.volumes(cfg.CONF).all()
             if volume.id == volume_id]
    if not found:
        raise errors.Conflict(
            f'server {name} has volumes, and which devices of the host they '
            'are now is not in its record',
            'leave it to the service that made it')
    volumes.check_device(found[0])
