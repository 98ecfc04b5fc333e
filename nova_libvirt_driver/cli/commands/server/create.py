# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt server create``: making a server."""

import argparse
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
from typing import Any
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.commands.server import create_options
from nova_libvirt_driver.cli.commands.server import waiting
from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import progress
from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.compute import record
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import nic as nic_spec

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module
    from nova_libvirt_driver.spec import disk as disk_spec
    from nova_libvirt_driver.spec import guest as guest_spec

Shown = tuple[tuple[str, ...], tuple[Any, ...]]

_NOT_MADE = 'not made (dry run)'
_ADDRESS_S = 3.0
"""How long a network of libvirt may take to give a server an address.

A script that waits for nothing is not kept waiting for that.
"""


class ServerCreate(base.ShowOne):
    """Make a server from an image, or from a kernel, and start it.

    What is given with --user-data, --file or --key is on its config drive.
    On failure nothing of the server is left behind.

    Example: nova-libvirt server create web1 --image debian --flavor small
    --key ~/.ssh/id_ed25519.pub --wait=serial:login:
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        return create_options.add(super().get_parser(prog_name))

    def run(self, parsed_args: argparse.Namespace) -> int:
        if parsed_args.show_xml and not parsed_args.dry_run:
            raise errors.UsageError(
                '--show-xml makes nothing, and needs --dry-run',
                'say --dry-run --show-xml, or nova-libvirt server show-xml '
                'for a server that is there')
        if parsed_args.spec:
            from nova_libvirt_driver.cli.commands.server import document

            create_options.refuse_with_spec(parsed_args)
            parsed_args.spec = document.read(parsed_args.spec)
        if not parsed_args.show_xml:
            return super().run(parsed_args)
        _, xml = self._planned(parsed_args)
        self.app.stdout.write(f'{terminal.plain_xml(xml.rstrip())}\n')
        return 0

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        # Lazy, as it brings the model of XML.
        from nova_libvirt_driver.cli.commands.server import details

        found: Sequence[nic_spec.FoundAddress] = ()
        if parsed_args.dry_run:
            (spec, xml), status = self._planned(parsed_args), _NOT_MADE
        else:
            spec, xml, status, found = self._make(parsed_args)
        fields = details.fields(xml, status, sources.images(cfg.CONF),
                                autostart=parsed_args.autostart,
                                addresses=found,
                                forwards=details.forwards(spec))
        return tuple(fields), tuple(fields.values())

    def _planned(
            self, parsed_args: argparse.Namespace,
    ) -> tuple['guest_spec.GuestSpec', str]:
        # What guests can have is not told on a connection that only looks.
        with (sources.local(base.arguments_of(self), read_only=False)
              as driver, _volumes(driver, parsed_args) as volumes):
            spec = _request(driver, parsed_args, volumes)
            return spec, driver.get_guest_xml(spec)

    def _make(
            self, parsed_args: argparse.Namespace,
    ) -> tuple['guest_spec.GuestSpec', str, str,
               Sequence[nic_spec.FoundAddress]]:
        """Make the server; return it, its XML, how it is, its addresses."""
        arguments = base.arguments_of(self)
        quiet = not arguments.verbose_level
        _refuse_disabled(configuration.load(arguments))
        with (sources.working(arguments) as driver,
              _volumes(driver, parsed_args) as volumes):
            spec = _request(driver, parsed_args, volumes)
            with (progress.shown(self.app.stderr, f'creating {spec.name}',
                                 quiet=quiet) as line,
                  errors.state(f'nothing of server {spec.name} is left')):
                driver.spawn(spec, progress=line)
            fate = ('is gone again' if sources.forgets(driver)
                    else f'is there: {spec.uuid}')
            with errors.state(f'server {spec.name} {fate}'):
                if parsed_args.autostart:
                    driver.set_autostart(spec, enabled=True)
                if not quiet:
                    sources.note_end(self.app.stderr, driver, spec.name)
                return spec, *self._seen(driver, spec, parsed_args.wait)

    def _seen(
            self, driver: 'driver_module.LibvirtDriver',
            spec: 'guest_spec.GuestSpec', wanted: waiting.Condition | None,
    ) -> tuple[str, str, Sequence[nic_spec.FoundAddress]]:
        """Wait as asked; return a new server's XML, state and addresses."""
        try:
            if wanted is not None:
                self._wait(driver, spec, wanted)
            found = self._addresses(
                driver, spec, is_patient=wanted is not None
                or terminal.is_terminal(self.app.stderr))
            info = driver.get_info(spec)
            return driver.get_domain_xml(spec), info.state.name.lower(), found
        finally:
            if sources.forgets(driver):
                # Its files would belong to no server.
                driver.destroy(spec)

    def _addresses(
            self, driver: 'driver_module.LibvirtDriver',
            spec: 'guest_spec.GuestSpec', *, is_patient: bool,
            ) -> Sequence[nic_spec.FoundAddress]:
        """Return the addresses of a server that was started, if known soon."""
        is_given = any(
            nic.kind is nic_spec.NicKind.NETWORK for nic in spec.nics)
        quiet = not base.arguments_of(self).verbose_level
        # The server was created, whatever fails here.
        with (contextlib.suppress(exception.DriverError), progress.shown(
                self.app.stderr, spec.name, quiet=quiet) as line):
            return waiting.addresses(
                driver, spec, line,
                timeout_s=_ADDRESS_S if is_given and is_patient else 0.0)
        return ()

    def _wait(
            self, driver: 'driver_module.LibvirtDriver',
            spec: 'guest_spec.GuestSpec', wanted: waiting.Condition) -> None:
        timeout_s = (
            base.arguments_of(self).timeout or waiting.TIMEOUT_S)
        try:
            waiting.until(driver, spec, wanted, timeout_s=timeout_s)
        except errors.WaitTimeout:
            lines = waiting.printed(driver, spec).splitlines()
            for line in lines[-waiting.LAST_LINES:]:
                self.app.stderr.write(f'{spec.name}: {line}\n')
            raise


@contextlib.contextmanager
def _volumes(
        driver: 'driver_module.LibvirtDriver',
        parsed_args: argparse.Namespace,
) -> Iterator[tuple['disk_spec.DiskSpec', ...]]:
    """Lend the volumes of a new server, which no other command has then.

    :raises Conflict: a server has one
    """
    words = [*([parsed_args.boot_volume] if parsed_args.boot_volume else ()),
             *parsed_args.volumes, *_volumes_in(parsed_args.spec)]
    if len(set(words)) < len(words):
        raise errors.UsageError(
            'a volume is named twice', 'leave out one of them')
    if not words:
        yield ()
        return
    from nova_libvirt_driver.cli import uses
    from nova_libvirt_driver.spec import disk as disk_spec

    local = sources.volumes(cfg.CONF)
    bus = disk_spec.DiskBus(parsed_args.disk_bus or disk_spec.DiskBus.VIRTIO)
    with contextlib.ExitStack() as stack:
        disks = []
        for word in words:
            volume = stack.enter_context(local.held(local.find(word)))
            uses.refuse_used(driver, volume)
            disks.append(local.disk(
                volume, bus, is_root=word == parsed_args.boot_volume))
        yield tuple(disks)


def _refuse_disabled(conf: cfg.ConfigOpts) -> None:
    """Refuse it on a host that an operator has disabled.

    :raises Conflict: one has
    """
    reason = record.ServiceRecordFile(
        conf.state_path, conf.host).load().operator_reason
    if reason:
        raise errors.Conflict(
            f'host {conf.host} takes no new servers: {reason}',
            'let it take some again: nova-libvirt service enable')


def _volumes_in(found: Any) -> list[str]:
    """Return the ids of the volumes of this host that a document names."""
    storage = (found or {}).get('storage')
    disks = storage.get('volumes') if isinstance(storage, dict) else None
    named = [str(disk['id'])
             for disk in (disks if isinstance(disks, list) else ())
             if isinstance(disk, dict) and disk.get('id')]
    known = {volume.id for volume in sources.volumes(cfg.CONF).all()
             } if named else set()
    return [word for word in named if word in known]


def _request(
        driver: 'driver_module.LibvirtDriver',
        parsed_args: argparse.Namespace,
        volumes: tuple['disk_spec.DiskSpec', ...],
) -> 'guest_spec.GuestSpec':
    from nova_libvirt_driver.cli.commands.server import request

    naming.check_new(driver.list_instance_summaries(), parsed_args.name,
                     cfg.CONF.host)
    spec = request.guest(parsed_args, request.Surroundings(
        images=sources.images(cfg.CONF), volumes=volumes,
        qemu=driver.get_host_facts().hypervisor_type == 'QEMU'))
    if parsed_args.spec is not None:
        _refuse_taken_macs(driver, spec)
    return spec


def _refuse_taken_macs(
        driver: 'driver_module.LibvirtDriver',
        spec: 'guest_spec.GuestSpec') -> None:
    """Refuse a card whose address another server of this host has.

    :raises Conflict: one has it
    """
    macs = {nic.mac.lower() for nic in spec.nics}
    for row in driver.list_instance_summaries() if macs else ():
        # A foreign domain has no record.
        with contextlib.suppress(exception.DriverError):
            taken = macs & {nic.mac.lower()
                            for nic in driver.get_spec(row).nics}
            if taken:
                raise errors.Conflict(
                    f'server {naming.shown(row)} has a card of the address '
                    f'{min(taken)}', 'leave out mac in "nics": it gets a new '
                    'one')
