# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt server migrate``: to another host, while it runs.

The driver of this host lets the server go; that of the other host, in its
service, makes ready for it. What is refused is refused before anything is
done.
"""

import argparse
from collections.abc import Sequence
import dataclasses
import os
import tempfile
from typing import Any
from typing import TextIO
from typing import TYPE_CHECKING
import urllib.parse

from oslo_config import cfg

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.commands.server import verb
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.cli.output import progress
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.xmlmodel import capabilities
from nova_libvirt_driver.xmlmodel import domain as domain_model

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module

Shown = tuple[tuple[str, ...], tuple[Any, ...]]

_DRIVE = 'disk.config'
_DRIVE_MAX_BYTES = 32 << 20
"""What fits into one request."""


class ServerMigrate(base.ShowOne):
    """Let a server go to another host while it runs.

    Afterwards it belongs to the compute service of that host, which has to
    run, and nothing of it is left here. When that fails, or is interrupted,
    the server runs on here, and nothing of it is left there.

    What it needs: the libvirt daemon of this host reaches that of the other
    one by the URI, and QEMU here reaches the other host by its address. This
    command reaches the socket of the service there, service-HOST.sock in its
    state folder, as root or as the user of that service; ssh brings it here:
    ssh -fN -L /run/h2.sock:/var/lib/nova-libvirt/service-host2.sock host2.

    Disks stay where they are if both hosts have the folder
    of the instances in common; if not, they are copied with --copy-disks.

    What cannot go: a stopped, suspended or rescued server, one with a
    device of the host, user networking, or a volume that is kept on this host.

    Example: nova-libvirt server migrate web1 --to qemu+tls://host2/system
    --service /run/h2.sock --copy-disks
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='NAME', help='name or id')
        parser.add_argument(
            '--to', required=True, metavar='URI',
            help="the other host's libvirt, as the daemon of this host "
            'reaches it')
        parser.add_argument(
            '--service', required=True, metavar='SOCKET',
            help='socket of the compute service of the other host')
        parser.add_argument(
            '--address', metavar='ADDRESS',
            help='where the memory goes; the host in the URI by default')
        parser.add_argument(
            '--copy-disks', action='store_true',
            help='copy the disks: the hosts have no folder in common')
        parser.add_argument(
            '--skip-cpu-check', action='store_true',
            help='let only libvirt compare CPUs, when the server begins to go')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        arguments = base.arguments_of(self)
        with sources.working(arguments) as driver:
            row = naming.on_host(driver, parsed_args.server)
            there = sources.elsewhere(parsed_args.service)
            driver.check_can_live_migrate_source(row)
            spec = driver.get_spec(verb.recorded(driver, row))
            _check(there, spec, row)
            _check_host(driver, there, parsed_args.to)
            if not parsed_args.skip_cpu_check:
                _check_cpu(there, driver.get_domain_xml(row))
            destination = _destination(there, row, parsed_args)
            move = _Move(driver, there, spec, destination, self.app.stderr)
            disks = None if destination.is_shared else _disks(driver, spec)
            autostart = driver.get_autostart(row)
            with progress.shown(
                    self.app.stderr, f'migrating {naming.shown(row)}',
                    quiet=not arguments.verbose_level) as line:
                move.run(disks, line, autostart=autostart)
            status = next((now.status for now in (
                there.list_instance_summaries()) if now.uuid == row.uuid), '')
        return (*(column.lower() for column in verb.COLUMNS), 'host'), (
            row.uuid, cells.Text(naming.shown(row)), status,
            cells.Text(parsed_args.to))


@dataclasses.dataclass(frozen=True, slots=True)
class _Move:
    """One server on its way."""

    here: 'driver_module.LibvirtDriver'
    there: 'driver_module.LibvirtDriver'
    spec: guest_spec.GuestSpec
    destination: migration_spec.Destination
    stderr: TextIO

    def run(
            self, disks: Sequence[migration_spec.MovedDisk] | None,
            line: ports.Progress, *, autostart: bool) -> None:
        """Let it go; return when it is there."""
        with errors.state('the server runs on here'):
            try:
                there = self.there.pre_live_migration(
                    self.spec, disks=disks, progress=line)
            except KeyboardInterrupt as error:
                # The other host may have been ready before it heard of that.
                self._roll_back(error)
                raise
        try:
            self.here.live_migration(there, self.destination, progress=line)
        except (exception.MigrationUnclear, exception.ServiceLost):
            # Both hosts see to it as soon as it can be seen.
            raise
        except BaseException as error:
            if self._is_here(error):
                self._roll_back(error)
                raise
        for what, function in (
                ('take it as one of its own', lambda: (
                    self.there.post_live_migration_at_destination(there))),
                ('start it by itself', lambda: (
                    self.there.set_autostart(self.spec, enabled=autostart))),
                ('forget it here', lambda: (
                    self.here.post_live_migration_at_source(self.spec)))):
            self._try(what, function)

    def _is_here(self, error: BaseException) -> bool:
        """Say whether it is; an interruption may have been too late."""
        try:
            self.here.get_info(self.spec, use_cache=False)
        except exception.InstanceNotFound:
            return False
        except exception.DriverError:
            raise error from None
        return True

    def _roll_back(self, error: BaseException) -> None:
        try:
            self.there.rollback_live_migration_at_destination(self.spec)
        except exception.DriverError as failure:
            error.add_note(f'the other host keeps for a while what it has '
                           f'prepared: {failure}')
        else:
            error.add_note('the server is here as before')

    def _try(self, what: str, function: Any) -> None:
        # It has moved: an error would say that it has not.
        try:
            function()
        except exception.DriverError as error:
            self.stderr.write(f'note: the server has moved, but it was not '
                              f'possible to {what}: {error}\n')


def _check(
        there: 'driver_module.LibvirtDriver', spec: guest_spec.GuestSpec,
        row: verb.Summary) -> None:
    """See whether what a server uses is on the other host as well.

    :raises Conflict: something is not, or there is such a server already
    """
    name = naming.shown(row)
    # Here as well, that the service there can be reached.
    others = there.list_instance_summaries()
    naming.check_new(others, row.name, 'there')
    if any(other.uuid == row.uuid for other in others):
        raise errors.Conflict(
            f'the other host has a server {row.uuid} already',
            'see with server show on both hosts which of them is right')
    networks = {network for network, active in there.list_networks()
                if active}
    for nic in spec.nics:
        if nic.kind is nic_spec.NicKind.USER:
            raise errors.Conflict(
                f'server {name} has user networking, which cannot move',
                f'give it another card: nova-libvirt port attach {name} '
                f'NETWORK; nova-libvirt port detach {name} {nic.mac}')
        if nic.kind is nic_spec.NicKind.NETWORK and (
                nic.source not in networks):
            raise errors.Conflict(
                f'the other host has no active network {nic.source}',
                f'start one there: virsh net-start {nic.source}')
    for volume in spec.storage.volumes:
        if volume.source.kind is not disk_spec.SourceKind.NETWORK or any(
                host.socket for host in volume.source.hosts):
            raise errors.Conflict(
                f'server {name} has the volume {volume.id}, which is kept on '
                'this host', 'take it away first: nova-libvirt volume detach '
                f'{name} {volume.id}')


def _check_host(
        here: 'driver_module.LibvirtDriver',
        there: 'driver_module.LibvirtDriver', uri: str) -> None:
    """See whether the service there is that of the libvirt behind a URI.

    :raises Conflict: they are on two hosts
    :raises HypervisorUnavailable: that libvirt cannot be asked
    """
    served, reached = (capabilities.Capabilities.parse(xml).uuid for xml in (
        there.get_capabilities(), here.get_capabilities(uri)))
    if served != reached:
        raise errors.Conflict(
            f'the service is on host {served}, and {uri} is host {reached}',
            'name the socket of the service on the host in --to: a tunnel '
            'may lead to another one')


def _check_cpu(there: 'driver_module.LibvirtDriver', xml: str) -> None:
    domain = domain_model.Domain.parse(xml)
    # Without a model it is whatever the host has.
    if domain.cpu.model:
        there.check_cpu(domain.cpu.to_xml(), domain.type or '')


def _destination(
        there: 'driver_module.LibvirtDriver', row: verb.Summary,
        parsed_args: argparse.Namespace) -> migration_spec.Destination:
    """Return where a server goes.

    :raises Conflict: its disks are to be copied to where they are, or would
        have to be
    """
    with tempfile.NamedTemporaryFile(
            dir=cfg.CONF.instances_path, prefix='.seen-') as marker:
        place = there.get_arrival_place(os.path.basename(marker.name))
    if place.is_shared and parsed_args.copy_disks:
        raise errors.Conflict('both hosts have the disks of the server',
                              'leave out --copy-disks')
    if not place.is_shared and not parsed_args.copy_disks:
        raise errors.Conflict(
            f'the other host does not see {cfg.CONF.instances_path} in '
            f'{place.instances_path}, so it has no disks of server '
            f'{naming.shown(row)}', 'let them be copied: --copy-disks')
    address = (parsed_args.address
               or urllib.parse.urlsplit(parsed_args.to).hostname or '')
    if ':' in address:
        address = f'[{address.strip("[]")}]'
    return migration_spec.Destination(
        uri=parsed_args.to, migrate_uri=address and f'tcp://{address}',
        instances_path=place.instances_path, is_shared=place.is_shared)


def _disks(
        driver: 'driver_module.LibvirtDriver', spec: guest_spec.GuestSpec,
) -> list[migration_spec.MovedDisk]:
    """Return the disks that the other host has to make.

    Images are those of one host, so they are copied whole.

    :raises Conflict: one cannot be copied
    """
    found = [migration_spec.MovedDisk(
        name=os.path.basename(use.path), format=use.format,
        size_bytes=use.size_bytes)
        for use in driver.get_instance_disk_info(spec)
        if os.path.basename(use.path) != _DRIVE]
    path = os.path.join(cfg.CONF.instances_path, spec.uuid, _DRIVE)
    if os.path.exists(path):
        content = _content(path)
        found.append(migration_spec.MovedDisk(
            name=_DRIVE, format='raw', size_bytes=len(content),
            content=content))
    return found


def _content(path: str) -> bytes:
    with open(path, 'rb') as file:
        found = file.read(_DRIVE_MAX_BYTES + 1)
    if len(found) > _DRIVE_MAX_BYTES:
        raise errors.Conflict(
            f'the config drive {path} is too large to be copied',
            'migrate the server while it is stopped')
    return found
