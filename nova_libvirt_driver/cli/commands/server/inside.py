# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt server set-password``, ``crash-dump`` and ``diagnostics``.

What goes on inside a server, as far as it can be reached from outside.
"""

import argparse
import dataclasses
import getpass
import time
from typing import Any
from typing import TYPE_CHECKING

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.commands.server import verb
from nova_libvirt_driver.cli.doctor import check_connection
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver import ports

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module
    from nova_libvirt_driver.spec import diagnostics as diagnostics_spec

Shown = tuple[tuple[str, ...], tuple[Any, ...]]

_REACHED_S = 5.0
_POLL_S = 0.3


class ServerSetPassword(base.ShowOne):
    """Set a password in a server, through its guest agent.

    It is asked for on a terminal, and read from stdin otherwise, as one line.
    Without --user it is that of the administrator: root, or Administrator.

    Example: nova-libvirt server set-password web1 --user debian
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='NAME', help='name or id')
        parser.add_argument(
            '--user', default='', metavar='USER', help='whose password')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        with sources.working(base.arguments_of(self)) as driver:
            row = naming.on_host(driver, parsed_args.server)
            name = naming.shown(row)
            password = self._password(name)
            with errors.state('the old password may be valid still, or the '
                              'new one'):
                driver.set_admin_password(
                    row, password, user=parsed_args.user)
        return ('server', 'user', 'status'), (
            cells.Text(name), cells.Text(parsed_args.user), 'set')

    def _password(self, name: str) -> str:
        """Read the password.

        :raises UsageError: there is none, or two that differ
        """
        if not terminal.is_terminal(self.app.stdin):
            password = self.app.stdin.readline().rstrip('\n')
        else:
            password = getpass.getpass(f'New password in {name}: ')
            if password != getpass.getpass('Again: '):
                raise errors.UsageError(
                    'the two passwords differ', 'type the same twice')
        if not password:
            raise errors.UsageError(
                'there is no password', 'type one, or write it to stdin')
        return password


class ServerCrashDump(verb.Verb):
    """Have servers crash and dump their memory, as their system is set up to.

    They get the interrupt of a button that servers have for this. Linux needs
    kdump for it, and kernel.unknown_nmi_panic=1.

    Example: nova-libvirt server crash-dump web1
    """

    DOING, DONE = 'interrupting', 'interrupted'

    def act(
            self, driver: 'driver_module.LibvirtDriver', row: verb.Summary,
            parsed_args: argparse.Namespace, line: ports.Progress) -> None:
        driver.trigger_crash_dump(row)


class ServerDiagnostics(base.ShowOne):
    """Show how much a server uses: processors, memory, disks, networks.

    Example: nova-libvirt server diagnostics web1 -f json
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='NAME', help='name or id')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        # Figures are not told on a connection that only looks.
        with sources.local(
                base.arguments_of(self), read_only=False) as driver:
            row = naming.on_host(driver, parsed_args.server)
            found = _figures(driver, row)
        error = found.last_disk_error
        fields = {
            'id': row.uuid, 'name': cells.Text(naming.shown(row)),
            'state': found.state, 'uptime_s': cells.Number(found.uptime_s),
            'vcpu_times_ns': cells.Numbers(list(found.vcpu_times_ns)),
            'memory_mib': cells.Number(found.memory_mib),
            'memory_used_mib': cells.Number(found.memory_used_mib),
            'disks': cells.Figures(list(map(
                dataclasses.asdict, found.disks))),
            'nics': cells.Figures(list(map(
                dataclasses.asdict, found.nics))),
            'config_drive': found.config_drive,
            'last_disk_error': cells.Worded(
                error and dataclasses.asdict(error),
                f'{error.path}: {error.reason}' if error else '-')}
        return tuple(fields), tuple(fields.values())


def _figures(
        driver: 'driver_module.LibvirtDriver',
        row: verb.Summary) -> 'diagnostics_spec.Diagnostics':
    """Return the figures of a server, with those of its QEMU if it has one.

    A hypervisor in this process has just been started, and is still about to
    reach the guests that run.
    """
    deadline = time.monotonic() + (
        _REACHED_S if check_connection.is_in_process(driver.uri()) else 0)
    while True:
        found = driver.get_diagnostics(row)
        is_whole = found.state != 'running' or any(
            disk.read_bytes is not None for disk in found.disks)
        if is_whole or not found.disks or time.monotonic() >= deadline:
            return found
        time.sleep(_POLL_S)
