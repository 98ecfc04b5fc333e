# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt server ssh`` and ``exec``: commands in a server.

The one goes over the network, the other through the guest agent.
"""

import argparse
from collections.abc import Sequence
import contextlib
import os
import re
import subprocess
import sys
import time
from typing import TextIO
from typing import TYPE_CHECKING

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.commands.server import waiting
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import progress
from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.cli import ssh_wait
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import nic as nic_spec

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module

_TIMEOUT_S = 60.0
_MAX_CODE = 255
_SSH_PORT = 22
_THIS_HOST = '127.0.0.1'
_CONFIGURATION_S = 10.0
_WITH_VALUE = 'BbcDEeFIiJLlmOoPpQRSWw'
_OPTIONS = re.compile(f'-(?!-|$)[^{_WITH_VALUE}]*([{_WITH_VALUE}]?)(.*)',
                      re.DOTALL)
"""Some options of ssh in a word: the one with a value, and that."""

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

    One that runs and has no address or does not answer yet, as after a start,
    is waited for, at most --timeout or 120 s. Then ssh is called in any case,
    and at once for a server of another host, or where options or the
    configuration of ssh name another way than its address and port.

    Example: nova-libvirt server ssh web1 --user debian -- -v uptime
    """

    passes_on = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--user', default='', metavar='USER', help='as whom to log in')
        parser.add_argument(
            '--no-wait', action='store_true',
            help='wait neither for an address nor for an answer')
        parser.add_argument('server', metavar='NAME', help='name or id')
        parser.add_argument(
            'words', nargs='*', metavar='WORD', help='for ssh')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        row, place, wait_s = self._reach(parsed_args)
        command = _command(row, place, parsed_args)
        self.app.stdout.flush()
        try:
            if wait_s > 0 and _goes_to(command, place):
                command = self._waiting(row, place, wait_s, command)
            os.execvp(command[0], command)
        except FileNotFoundError as error:
            raise errors.NotFound(
                'the program ssh is not installed',
                'install it (Debian: openssh-client)') from error

    def _reach(
            self, parsed_args: argparse.Namespace
            ) -> tuple[instance_spec.InstanceSummary, _Place, float]:
        """Return the server, where ssh is, and how long to wait for it.

        :raises Conflict: it has no address
        """
        arguments = base.arguments_of(self)
        timeout_s = arguments.timeout or waiting.TIMEOUT_S
        with (progress.shown(
                self.app.stderr, f'reaching {parsed_args.server}',
                quiet=not arguments.verbose_level) as line,
              sources.local(arguments) as driver):
            row = naming.on_host(driver, parsed_args.server)
            if (parsed_args.no_wait
                    or row.state is not instance_spec.PowerState.RUNNING):
                timeout_s = 0.0
            deadline = time.monotonic() + timeout_s
            place = _forward_of(driver, row) or _address_of(
                driver, row, line, timeout_s)
            # Its addresses are those of a network that need not be ours.
            is_near = not sources.is_elsewhere(arguments, driver)
        return row, place, is_near * (deadline - time.monotonic())

    def _waiting(
            self, row: instance_spec.InstanceSummary, place: _Place,
            wait_s: float, command: list[str]) -> list[str]:
        """Return the program that waits before it becomes the command.

        With this process, an embedded hypervisor is free for others.
        """
        address, port = place
        is_quiet = not base.arguments_of(self).verbose_level
        name = '' if is_quiet else terminal.plain(naming.shown(row))
        return [sys.executable, '-I', '-S', ssh_wait.__file__, address,
                str(port), f'{wait_s:.0f}', name, *command]


def _address_of(
        driver: 'driver_module.LibvirtDriver',
        row: instance_spec.InstanceSummary, line: ports.Progress,
        timeout_s: float) -> _Place:
    # Lazy, as it brings the model of XML.
    from nova_libvirt_driver.xmlmodel import domain as domain_model

    cards = domain_model.Domain.parse(
        driver.get_domain_xml(row)).devices.interfaces
    # An agent may tell of addresses that mean nothing outside of QEMU.
    within = {(card.mac or '').lower() for card in cards
              if card.type == nic_spec.NicKind.USER} - {''}
    may_come = not sources.is_held(driver) and any(
        card.type != nic_spec.NicKind.USER for card in cards)
    found = [one for one in waiting.addresses(
        driver, row, line, timeout_s=timeout_s if may_come else 0.0)
        if one.mac.lower() not in within]
    if not found:
        name = naming.shown(row)
        raise errors.Conflict(
            f'no address of server {name} is known',
            'wait until it has booted, see that it is on a network of '
            'libvirt or of the host (nova-libvirt network list), make it '
            'with --forward 2222:22 on the network user, or '
            f'type into it: nova-libvirt server console attach {name}')
    return found[0].address, _SSH_PORT


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


def _command(
        row: instance_spec.InstanceSummary, place: _Place,
        parsed_args: argparse.Namespace) -> list[str]:
    """Return the call of ssh. Of two options it takes the first."""
    address, port = place
    words: list[str] = parsed_args.words
    end = _options_end(words)
    ours = [f'-oHostKeyAlias={row.uuid}']
    if address == _THIS_HOST:
        ours.append('-oStrictHostKeyChecking=accept-new')
    if port != _SSH_PORT:
        ours += ['-p', str(port)]
    user = ['-l', parsed_args.user] if parsed_args.user else []
    return ['ssh', *user, address, *words[:end], *ours, *words[end:]]


def _options_end(words: Sequence[str]) -> int:
    """Return how many words are options of ssh, and not a command."""
    index = 0
    while index < len(words) and (found := _OPTIONS.match(words[index])):
        option, value = found.groups()
        index += 2 if option and not value else 1
    return min(index, len(words))


def _goes_to(command: Sequence[str], place: _Place) -> bool:
    """Say whether ssh will itself connect to a place.

    :raises FileNotFoundError: ssh is not installed
    """
    address, port = place
    try:
        told = subprocess.run(
            [command[0], '-G', *command[1:]], stdin=subprocess.DEVNULL,
            capture_output=True, timeout=_CONFIGURATION_S, check=False,
            text=True, errors='replace').stdout
    except subprocess.TimeoutExpired:
        return False
    found = dict(line.split(' ', 1) for line in told.splitlines()
                 if ' ' in line)
    return (found.get('hostname'), found.get('port')) == (
        address, str(port)) and not any(
            found.get(name, 'none') != 'none'
            for name in ('proxycommand', 'proxyjump'))
