# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt server show-xml`` and ``diff``: the domains of servers."""

import argparse

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import devices
from nova_libvirt_driver.xmlmodel import difference

_SAME, _DIFFERENT = exit_code.ExitCode.DONE, exit_code.ExitCode.FAILED


class ServerShowXml(base.Command):
    """Print the XML of a server's domain, without secrets.

    Example: nova-libvirt server show-xml web1 --inactive
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='NAME', help='name or id')
        parser.add_argument(
            '--inactive', action='store_true',
            help='as it will be at its next start')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with sources.local(base.arguments_of(self)) as driver:
            row = naming.on_host(driver, parsed_args.server)
            xml = driver.get_domain_xml(row, inactive=parsed_args.inactive)
        self.app.stdout.write(f'{terminal.plain_xml(xml.rstrip())}\n')


class ServerDiff(base.Command):
    """Compare a server as it runs with what its next start would make.

    A line that begins with - is how it runs, one with + how it is defined.
    At its end is a mark: (reboot) for what only a reboot brings, (live)
    for what could be changed while it runs.

    Exit code: 0 there is no difference, 1 there is; others are errors.

    Example: nova-libvirt server diff web1
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='NAME', help='name or id')
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        with sources.local(base.arguments_of(self)) as driver:
            row = naming.on_host(driver, parsed_args.server)
            running = driver.get_domain_xml(row)
            defined = driver.get_domain_xml(row, inactive=True)
        name = terminal.plain(naming.shown(row))
        if not devices.is_live(running):
            raise exception.WrongState(
                tried='compare it with its definition', instance=name,
                state='stopped')
        lines = list(difference.diff(running, defined))
        if not lines:
            return _SAME
        self.app.stdout.write(
            f'--- {name} as it runs\n+++ {name} as it is defined\n')
        self.app.stdout.writelines(
            f'{terminal.plain_xml(line)}\n' for line in lines)
        return _DIFFERENT

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Do nothing: it is run in a way of its own."""
