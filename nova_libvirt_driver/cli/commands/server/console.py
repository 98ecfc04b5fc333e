# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt server console``: what servers print, and where to type."""

import argparse
import contextlib
import time
from typing import TYPE_CHECKING

from nova_libvirt_driver.cli import arguments as kinds
from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver import exception

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module
    from nova_libvirt_driver.spec import instance as instance_spec

_POLL_S = 0.5
_KNOWN_BYTES = 4096


class Tail:
    """Finds what is new in the end of a log that is read again and again.

    :param shown: what has been shown
    """

    def __init__(self, shown: bytes) -> None:
        self._shown = shown

    def new(self, output: bytes) -> bytes:
        """Return what comes after what was shown.

        That is all of it when the log was begun again, or has run away.
        """
        shown, self._shown = self._shown, output
        if output.startswith(shown):
            return output[len(shown):]
        known = shown[-_KNOWN_BYTES:]
        place = output.rfind(known)
        return output if place < 0 else output[place + len(known):]


class _OnServer(base.Command):
    """A command about one server."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='NAME', help='name or id')
        return parser

    def find(
            self, driver: 'driver_module.LibvirtDriver',
            parsed_args: argparse.Namespace
            ) -> 'instance_spec.InstanceSummary':
        """Return the server that is named."""
        return naming.on_host(driver, parsed_args.server)

    def write(self, text: str) -> None:
        """Print a text as it is."""
        self.app.stdout.write(text)
        self.app.stdout.flush()


class ConsoleLog(_OnServer):
    """Print what a server has printed to its serial console.

    Escape sequences and control characters are left out. With --follow it
    goes on until Ctrl-C, or --timeout.

    Example: nova-libvirt server console log web1 --lines 20 --follow
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--follow', action='store_true', help='go on until Ctrl-C')
        parser.add_argument(
            '--lines', type=kinds.number, metavar='NUMBER',
            help='begin with the last so many lines')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        arguments = base.arguments_of(self)
        with contextlib.ExitStack() as stack:
            driver = stack.enter_context(sources.local(arguments))
            server = self.find(driver, parsed_args)
            cleaner = terminal.Cleaner()
            output = driver.get_console_output(server)
            self.write(_end(cleaner.feed(output), parsed_args.lines))
            if not parsed_args.follow:
                return
            # Ctrl-C is the end that was asked for.
            stack.enter_context(contextlib.suppress(KeyboardInterrupt))
            tail = Tail(output)
            deadline = time.monotonic() + (arguments.timeout or float('inf'))
            while time.monotonic() < deadline:
                time.sleep(_POLL_S)
                new = tail.new(_printed(driver, server))
                self.write(cleaner.feed(new))


class ConsoleAttach(_OnServer):
    """Type into the serial console of a server; Ctrl-] ends it.

    What the server prints reaches the terminal as it is.

    Example: nova-libvirt server console attach web1
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        for stream in (self.app.stdin, self.app.stdout):
            if not terminal.is_terminal(stream):
                raise errors.UsageError(
                    'a console is attached to a terminal only',
                    'see what it prints: nova-libvirt server console log '
                    f'{parsed_args.server} --follow')
        from nova_libvirt_driver.cli.commands.server import attach

        with sources.local(base.arguments_of(self)) as driver:
            server = self.find(driver, parsed_args)
            place = attach.place(
                driver.get_domain_xml(server), driver.uri(),
                naming.shown(server))
            with attach.opened(place) as descriptor:
                self.app.stderr.write(
                    f'attached to {naming.shown(server)}, Ctrl-] ends it\n')
                attach.talk(descriptor, self.app.stdin.fileno(),
                            self.app.stdout.fileno())
        self.app.stderr.write('\ndetached\n')


class ConsoleUrl(_OnServer):
    """Print where a console of a server answers.

    Without --type it is the first one that there is of vnc, spice, serial.

    Example: nova-libvirt server console url web1 --type vnc
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--type', dest='kinds', action='append', metavar='TYPE',
            choices=('vnc', 'spice', 'serial'),
            help='vnc, spice or serial')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        with sources.local(base.arguments_of(self)) as driver:
            server = self.find(driver, parsed_args)
            ways = {'vnc': driver.get_vnc_console,
                    'spice': driver.get_spice_console,
                    'serial': driver.get_serial_console}
            wanted = parsed_args.kinds or list(ways)
            for kind in wanted:
                try:
                    found = ways[kind](server)
                except exception.ConsoleUnavailable:
                    if kind == wanted[-1]:
                        raise
                    continue
                self.write(f'{_url(kind, found.host, found.port)}\n')
                return


def _url(kind: str, host: str, port: int) -> str:
    scheme = {'serial': 'tcp'}.get(kind, kind)
    return f'{scheme}://{f"[{host}]" if ":" in host else host}:{port}'


def _end(text: str, lines: int | None) -> str:
    if lines is None:
        return text
    kept = text.splitlines(keepends=True)
    return ''.join(kept[len(kept) - lines:] if lines < len(kept) else kept)


def _printed(
        driver: 'driver_module.LibvirtDriver',
        server: 'instance_spec.InstanceSummary') -> bytes:
    try:
        return driver.get_console_output(server)
    except exception.ConsoleUnavailable:
        # Between a stop and the next start.
        return b''
