# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt server ssh`` and ``exec``: commands in a server.

The one goes over the network, the other through the guest agent.
"""

import argparse
import contextlib
import os
import re
import time
from typing import TextIO
from typing import TYPE_CHECKING

from nova_libvirt_driver.cli import arguments as kinds
from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.commands.server import waiting
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import progress
from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module

_TIMEOUT_S = 60.0
_MAX_CODE = 255
_SSH_PORT = 22
_THIS_HOST = '127.0.0.1'
_WAIT_S = 120
# Options by which ssh goes another way than by the address and port.
_OTHER_WAY = re.compile('-[pJFW]|(?i:(-o *)?(port|proxy))')


_Place = tuple[str, int]
"""An address and a port."""


class ServerExec(base.Command):
    """Run a command in a server, through its guest agent.

    The program is named by its path, and no shell is between. What it has
    printed is shown when it has ended, at most --timeout or 60 s later, and
    its exit code is that of this command.

    Example: nova-libvirt server exec web1 -- /bin/uname -r
    """

    passes_on = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='NAME', help='name or id')
        parser.add_argument(
            'words', nargs='*', metavar='WORD',
            help='path of the program, and its arguments')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        if not parsed_args.words:
            raise errors.UsageError(
                'no command given', 'name it: nova-libvirt server exec '
                f'{parsed_args.server} -- /bin/uname -r')
        arguments = base.arguments_of(self)
        with sources.working(arguments) as driver:
            row = naming.on_host(driver, parsed_args.server)
            with errors.state('the command may have run, or run on'):
                outcome = driver.execute_in_guest(
                    row, parsed_args.words,
                    timeout_s=arguments.timeout or _TIMEOUT_S)
        for stream, data in ((self.app.stdout, outcome.stdout),
                             (self.app.stderr, outcome.stderr)):
            _write(stream, data)
        # The shell would take 256, as Windows may say, for 0.
        return (outcome.exit_code if 0 <= outcome.exit_code <= _MAX_CODE
                else exit_code.ExitCode.FAILED)


def _write(stream: TextIO, data: bytes) -> None:
    """Write what a guest has printed; as it is unless to a terminal."""
    binary = getattr(stream, 'buffer', None)
    if binary is None or terminal.is_terminal(stream):
        stream.write(terminal.Cleaner().feed(data))
    else:
        binary.write(data)
    stream.flush()


class ServerSsh(base.Command):
    """Log in to a server with ssh, at its first known address.

    What stands after -- is for ssh: its options, and a command to run there.
    Where a port of the host leads to its port 22 (server create --forward),
    that is taken; else a server on QEMU's own user network has no address that
    the host can reach. Its host key is remembered under its id, so that
    another server may have its address or port later; one behind a port of
    127.0.0.1 is accepted the first time, unless ssh is told otherwise. After a
    rebuild of the server, forget the key: ssh-keygen -R ID

    One that runs and does not answer yet, as after a start, is waited for
    (--wait), unless the options of ssh name a port or a proxy.

    Example: nova-libvirt server ssh web1 --user debian -- -v uptime
    """

    passes_on = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--user', default='', metavar='USER', help='as whom to log in')
        parser.add_argument(
            '--wait', type=kinds.number, default=_WAIT_S, metavar='SECONDS',
            help='how long to wait until it answers, '
            f'{_WAIT_S} by default; 0 for not at all')
        parser.add_argument('server', metavar='NAME', help='name or id')
        parser.add_argument(
            'words', nargs='*', metavar='WORD', help='for ssh')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        row, place = self._reach(parsed_args)
        address, port = place
        user = ['-l', parsed_args.user] if parsed_args.user else []
        self.app.stdout.flush()
        try:
            os.execvp('ssh', [
                'ssh', *_options(
                    row, parsed_args.words,
                    is_here=address == _THIS_HOST),
                *user, *([] if port == _SSH_PORT else ['-p', str(port)]),
                address, *parsed_args.words])
        except FileNotFoundError as error:
            raise errors.NotFound(
                'the program ssh is not installed',
                'install it (Debian: openssh-client)') from error

    def _reach(
            self, parsed_args: argparse.Namespace
            ) -> tuple[instance_spec.InstanceSummary, _Place]:
        """Return the server, and where it answers.

        :raises Conflict: it has no address
        :raises WaitTimeout: it does not answer in time
        """
        arguments = base.arguments_of(self)
        with progress.shown(
                self.app.stderr, f'reaching {parsed_args.server}',
                quiet=not arguments.verbose_level) as line:
            with sources.local(arguments) as driver:
                row = naming.on_host(driver, parsed_args.server)
                runs = row.state is instance_spec.PowerState.RUNNING
                deadline = time.monotonic() + (
                    parsed_args.wait if runs else 0)
                place = _forward_of(driver, row) or _address_of(
                    driver, row, line, deadline)
            # By now another process may have an embedded hypervisor.
            if runs and parsed_args.wait and not any(
                    map(_OTHER_WAY.match, parsed_args.words)):
                _await_answer(
                    place, naming.shown(row), line, deadline,
                    parsed_args.wait)
        return row, place


def _address_of(
        driver: 'driver_module.LibvirtDriver',
        row: instance_spec.InstanceSummary, line: ports.Progress,
        deadline: float) -> _Place:
    found = waiting.addresses(
        driver, row, line, timeout_s=deadline - time.monotonic())
    if not found:
        name = naming.shown(row)
        raise errors.Conflict(
            f'no address of server {name} is known',
            'wait until it has booted, see that it is on a network of '
            'libvirt or of the host (nova-libvirt network list), make it '
            'with --forward 2222:22 on the network user, or '
            f'type into it: nova-libvirt server console attach {name}')
    return found[0].address, _SSH_PORT


def _await_answer(
        place: _Place, name: str, line: ports.Progress, deadline: float,
        wait_s: int) -> None:
    address, port = place
    if not waiting.answers(address, port, line,
                           timeout_s=deadline - time.monotonic()):
        raise errors.WaitTimeout(
            f'server {name} has not answered at {address} port {port} within '
            f'{wait_s} s', 'wait longer with --wait SECONDS, or see '
            f'nova-libvirt server console log {name}; --wait 0 calls ssh at '
            'once')


def _forward_of(
        driver: 'driver_module.LibvirtDriver',
        row: instance_spec.InstanceSummary) -> _Place | None:
    """Return where a port of the host leads to that of ssh, if one does."""
    # Nova's servers have no record.
    with contextlib.suppress(exception.InstanceNotFound):
        for nic in driver.get_spec(row).nics:
            for one in nic.forwards:
                if (one.protocol, one.guest_port) == ('tcp', _SSH_PORT):
                    return (_THIS_HOST if one.address == '0.0.0.0'
                            else one.address), one.host_port
    return None


def _options(
        row: instance_spec.InstanceSummary, words: list[str], *,
        is_here: bool) -> list[str]:
    """Return the options of ssh that its user has not set."""
    wanted = {'HostKeyAlias': row.uuid}
    if is_here:
        wanted['StrictHostKeyChecking'] = 'accept-new'
    given = ' '.join(words).lower()
    # Ssh takes the first of two.
    return [f'-o{name}={value}' for name, value in wanted.items()
            if name.lower() not in given]
