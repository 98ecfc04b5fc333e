# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt server create``: making a server."""

import argparse
from typing import Any
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.commands.server import create_options
from nova_libvirt_driver.cli.commands.server import waiting
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import progress
from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver.cli import sources

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module
    from nova_libvirt_driver.spec import guest as guest_spec

Shown = tuple[tuple[str, ...], tuple[Any, ...]]

_NOT_MADE = 'not made (dry run)'


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
        if not parsed_args.show_xml:
            return super().run(parsed_args)
        xml = self._planned_xml(parsed_args).rstrip()
        self.app.stdout.write(f'{terminal.plain_xml(xml)}\n')
        return 0

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        # Lazy, as it brings the model of XML.
        from nova_libvirt_driver.cli.commands.server import details

        if parsed_args.dry_run:
            xml, status = self._planned_xml(parsed_args), _NOT_MADE
        else:
            xml, status = self._make(parsed_args)
        fields = details.fields(xml, status, sources.images(cfg.CONF))
        return tuple(fields), tuple(fields.values())

    def _planned_xml(self, parsed_args: argparse.Namespace) -> str:
        # What guests can have is not told on a connection that only looks.
        with sources.local(
                base.arguments_of(self), read_only=False) as driver:
            return driver.get_guest_xml(_request(driver, parsed_args))

    def _make(self, parsed_args: argparse.Namespace) -> tuple[str, str]:
        """Make the server; return its XML and how it is."""
        arguments = base.arguments_of(self)
        quiet = not arguments.verbose_level
        with sources.working(arguments) as driver:
            spec = _request(driver, parsed_args)
            with (progress.shown(self.app.stderr, f'creating {spec.name}',
                                 quiet=quiet) as line,
                  errors.state(f'nothing of server {spec.name} is left')):
                driver.spawn(spec, progress=line)
            uri = driver.uri()
            if not quiet:
                sources.note_end(self.app.stderr, uri, spec.name)
            try:
                self._wait(driver, spec, parsed_args.wait)
                info = driver.get_info(spec)
                xml = driver.get_domain_xml(spec)
            finally:
                if sources.forgets(uri):
                    # Its files would belong to no server.
                    driver.destroy(spec)
        return xml, info.state.name.lower()

    def _wait(
            self, driver: 'driver_module.LibvirtDriver',
            spec: 'guest_spec.GuestSpec',
            wanted: waiting.Condition | None) -> None:
        if wanted is None:
            return
        timeout_s = (
            base.arguments_of(self).timeout or waiting.TIMEOUT_S)
        fate = ('is gone again' if sources.forgets(driver.uri())
                else f'is there: {spec.uuid}')
        with errors.state(f'server {spec.name} {fate}'):
            try:
                waiting.until(driver, spec, wanted, timeout_s=timeout_s)
            except errors.WaitTimeout:
                lines = waiting.printed(driver, spec).splitlines()
                for line in lines[-waiting.LAST_LINES:]:
                    self.app.stderr.write(f'{spec.name}: {line}\n')
                raise


def _request(
        driver: 'driver_module.LibvirtDriver',
        parsed_args: argparse.Namespace) -> 'guest_spec.GuestSpec':
    from nova_libvirt_driver.cli.commands.server import request

    naming.check_new(driver.list_instance_summaries(), parsed_args.name,
                     cfg.CONF.host)
    return request.guest(parsed_args, request.Surroundings(
        images=sources.images(cfg.CONF),
        qemu=driver.get_host_facts().hypervisor_type == 'QEMU'))
