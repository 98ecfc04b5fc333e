# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt volume``: disks that outlive the servers that have them.

They are files in pools below ``state_path``, block devices of this host, or
exports over NBD. Libvirt is asked who has them.
"""

import argparse
from typing import Any
from typing import TYPE_CHECKING
import uuid

from oslo_config import cfg

from nova_libvirt_driver.cli import arguments as kinds
from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.commands.server import verb
from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli import confirmation
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.cli.output import progress
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.cli import uses
from nova_libvirt_driver.cli import volumes
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import instance as instance_spec

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module

Shown = tuple[tuple[str, ...], tuple[Any, ...]]
Listed = tuple[tuple[str, ...], list[tuple[Any, ...]]]

BUSES = ('virtio', 'scsi', 'sata', 'usb')

_BYTES_PER_GIB = 1 << 30
_SUSPENDED = 'suspended'
_COLUMNS = ('ID', 'Name', 'Kind', 'Size GiB', 'Status', 'Servers')


class VolumeCreate(base.ShowOne):
    """Create an empty volume, or make one of what is there already.

    A pool is a folder below "volumes" in state_path, such as the mount point
    of a file system. With --source nothing is written: the volume is a block
    device, or an export over NBD.

    Example: nova-libvirt volume create data1 --size 10
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('name', metavar='NAME', help='name of the volume')
        parser.add_argument(
            '--pool', metavar='POOL', default=volumes.DEFAULT_POOL,
            help='where it is kept; default by default')
        parser.add_argument(
            '--disk-format', choices=volumes.FORMATS,
            help='of the file; qcow2 by default')
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument(
            '--size', metavar='GIB', type=kinds.positive,
            help='size of a new file')
        what.add_argument(
            '--source', metavar='SOURCE',
            help='/dev/disk/by-id/..., nbd://HOST:PORT/EXPORT or '
            'nbd+unix:///EXPORT?socket=PATH')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        local = sources.volumes(
            configuration.load(base.arguments_of(self)))
        if parsed_args.source and parsed_args.disk_format:
            raise errors.UsageError(
                '--disk-format is that of a new file', 'leave it out')
        wanted = volumes.from_source(
            parsed_args.source, name=parsed_args.name, pool=parsed_args.pool
        ) if parsed_args.source else volumes.Volume(
            id=str(uuid.uuid4()), name=parsed_args.name,
            pool=parsed_args.pool, format=parsed_args.disk_format or 'qcow2',
            size_bytes=parsed_args.size * _BYTES_PER_GIB)
        return _fields(local, local.create(wanted), [])


class VolumeList(base.Lister):
    """List the volumes of this host, and which servers have them.

    Example: nova-libvirt volume list -f json
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        with sources.local(base.arguments_of(self)) as driver:
            local = sources.volumes(cfg.CONF)
            users = uses.of_volumes(driver)
            return _COLUMNS, [
                _row(volume, users.get(volume.id, ()))
                for volume in local.all()]


class VolumeShow(base.ShowOne):
    """Show one volume.

    Example: nova-libvirt volume show data1
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return _named(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        with sources.local(base.arguments_of(self)) as driver:
            local = sources.volumes(cfg.CONF)
            volume = local.find(parsed_args.volume)
            return _fields(local, volume, uses.of_volumes(driver).get(
                volume.id, ()))


class VolumeExtend(base.ShowOne):
    """Make a volume larger; a server that has it sees it at once.

    Of a device that has grown, --size is left out.

    Example: nova-libvirt volume extend data1 --size 20
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = _named(super().get_parser(prog_name))
        parser.add_argument(
            '--size', metavar='GIB', type=kinds.positive,
            help='size of the file then')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        with sources.working(base.arguments_of(self)) as driver:
            local = sources.volumes(cfg.CONF)
            with local.held(local.find(parsed_args.volume)) as volume:
                size_bytes = _wanted_bytes(volume, parsed_args.size)
                users = uses.of_volumes(driver).get(volume.id, ())
                _refuse_suspended(users)
                with errors.state('it may be larger already; repeat it'):
                    self._extend(driver, local, volume, users, size_bytes)
                    volume = local.note_size(volume, size_bytes)
                return _fields(local, volume, users)

    def _extend(
            self, driver: 'driver_module.LibvirtDriver',
            local: volumes.LocalVolumes, volume: volumes.Volume,
            users: uses.Users, size_bytes: int) -> None:
        state = instance_spec.PowerState
        up = [row for row in users if driver.get_info(
            row, use_cache=False).state in (state.RUNNING, state.PAUSED)]
        if volume.kind is volumes.Kind.FILE and not up:
            local.resize(volume, size_bytes)
        for row in up:
            driver.extend_disk(row, volume.key, size_bytes)


class VolumeDelete(base.Lister):
    """Delete volumes that no server has, with all that is on them.

    What was there before the volume stays: a device, or an export.

    Example: nova-libvirt volume delete data1 --yes
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'volumes', nargs='+', metavar='VOLUME', help='name or id')
        confirmation.add_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        with sources.local(base.arguments_of(self)) as driver:
            local = sources.volumes(cfg.CONF)
            found = {volume.id: volume for volume in map(
                local.find, parsed_args.volumes)}
            names = ', '.join(volume.name for volume in found.values())
            confirmation.obtain(
                self.app, f'delete volume {names}', yes=parsed_args.yes)
            rows: list[tuple[Any, ...]] = []
            for volume in found.values():
                done = ', '.join(row[1].human_readable() for row in rows)
                with (errors.state(f'deleted: {done}' if done
                                   else 'nothing was changed'),
                      local.held(volume, broken=True) as now):
                    uses.refuse_used(driver, now)
                    local.delete(now)
                rows.append(_row(now, (), status='deleted'))
        return _COLUMNS, rows


class VolumeAttach(base.ShowOne):
    """Give a server a volume, at once and for its next starts.

    Example: nova-libvirt volume attach web1 data1
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='SERVER', help='name or id')
        parser.add_argument('volume', metavar='VOLUME', help='name or id')
        parser.add_argument(
            '--bus', choices=BUSES, default=BUSES[0],
            help=f'how it is attached; {BUSES[0]} by default')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        arguments = base.arguments_of(self)
        with sources.working(arguments) as driver:
            row = naming.on_host(driver, parsed_args.server)
            local = sources.volumes(cfg.CONF)
            with local.held(local.find(parsed_args.volume)) as volume:
                # Whether this one has it is seen once it is locked: a killed
                # command may have attached it, which is undone then.
                uses.refuse_used(driver, volume, but=row.uuid)
                wanted = local.disk(
                    volume, disk_spec.DiskBus(parsed_args.bus))
                verb.recorded(driver, row)
                with (progress.shown(
                        self.app.stderr, f'attaching {volume.name}',
                        quiet=not arguments.verbose_level) as line,
                      errors.state(f'see what {naming.shown(row)} has: '
                                   'nova-libvirt volume list')):
                    disk = driver.attach_disk(
                        driver.get_spec(row), wanted, progress=line)
        return ('server', 'volume', 'device'), (
            cells.Text(naming.shown(row)), cells.Text(volume.name),
            f'/dev/{disk.target_dev}')


class VolumeDetach(base.ShowOne):
    """Take a volume from a server; what is on it stays.

    Example: nova-libvirt volume detach web1 data1
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='SERVER', help='name or id')
        parser.add_argument('volume', metavar='VOLUME', help='name or id')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        arguments = base.arguments_of(self)
        with sources.working(arguments) as driver:
            row = naming.on_host(driver, parsed_args.server)
            name = naming.shown(row)
            volume = sources.volumes(cfg.CONF).find(parsed_args.volume)
            if row.uuid not in (one.uuid for one in uses.of_volumes(
                    driver).get(volume.id, ())):
                raise errors.Conflict(
                    f'server {name} does not have volume {volume.name}',
                    'see which one has it: nova-libvirt volume list')
            with (progress.shown(
                    self.app.stderr, f'detaching {volume.name}',
                    quiet=not arguments.verbose_level) as line,
                  errors.state(f'{name} may have it still; repeat it')):
                driver.detach_disk(row, volume.key, progress=line)
        return ('server', 'volume', 'status'), (
            cells.Text(name), cells.Text(volume.name), 'detached')


def _named(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument('volume', metavar='VOLUME', help='name or id')
    return parser


def _refuse_suspended(users: uses.Users) -> None:
    """Refuse what memory on the disk would not know of.

    :raises Conflict: a server is suspended
    """
    for row in users:
        if row.status == _SUSPENDED:
            name = naming.shown(row)
            raise errors.Conflict(
                f'server {name} has it in its saved memory',
                f'let it go on first: nova-libvirt server resume {name}')


def _wanted_bytes(volume: volumes.Volume, gib: int | None) -> int:
    """Return how large a volume is to be.

    :raises UsageError: that makes no sense for it
    """
    if volume.kind is volumes.Kind.NBD:
        raise errors.UsageError(
            f'volume {volume.name} is as large as its server says',
            'extend it there, and start the server again that has it')
    if volume.kind is volumes.Kind.DEVICE:
        if gib:
            raise errors.UsageError(
                f'volume {volume.name} is a device, which has its own size',
                'leave out --size')
        return volumes.size_of(volume)
    size_bytes = (gib or 0) * _BYTES_PER_GIB
    if size_bytes < volume.size_bytes or not gib:
        raise errors.UsageError(
            f'volume {volume.name} has '
            f'{volume.size_bytes // _BYTES_PER_GIB} GiB and does not shrink',
            'say a larger --size')
    return size_bytes


def _fields(
        local: volumes.LocalVolumes, volume: volumes.Volume,
        users: uses.Users) -> Shown:
    fields = {
        'id': volume.id, 'name': cells.Text(volume.name),
        'kind': volume.kind.value, 'pool': volume.pool,
        'format': volume.format,
        'size_bytes': cells.Number(volume.size_bytes or None),
        'path': cells.Text(local.path(volume)),
        'socket': cells.Text(volume.socket),
        'host': cells.Text(volume.host), 'port': cells.Number(
            volume.port or None),
        'status': _status(volume, users), 'servers': cells.Lines(
            [naming.shown(row) for row in users])}
    return tuple(fields), tuple(fields.values())


def _row(
        volume: volumes.Volume, users: uses.Users, *,
        status: str = '') -> tuple[Any, ...]:
    return (cells.Id(volume.id), cells.Text(volume.name), volume.kind.value,
            cells.Number(volume.size_bytes // _BYTES_PER_GIB
                         if volume.size_bytes else None),
            status or _status(volume, users), cells.Names(
                [naming.shown(row) for row in users]))


def _status(volume: volumes.Volume, users: uses.Users) -> str:
    if not volume.whole:
        return 'incomplete'
    return 'in use' if users else 'available'
