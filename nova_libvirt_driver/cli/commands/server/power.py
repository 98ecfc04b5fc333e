# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt server start`` and the like: the power of servers."""

import argparse
from typing import TYPE_CHECKING

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.commands.server import verb
from nova_libvirt_driver import ports

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module

Summary = verb.Summary

_SOFT_S = 60.0
_RETRY_S = 10.0


class ServerStart(verb.Verb):
    """Start servers that are stopped.

    Example: nova-libvirt server start web1 web2
    """

    DOING, DONE = 'starting', 'started'
    LEAVES_RUNNING = True

    def act(
            self, driver: 'driver_module.LibvirtDriver', row: Summary,
            parsed_args: argparse.Namespace, line: ports.Progress) -> None:
        driver.power_on(verb.recorded(driver, row), progress=line)


class ServerStop(verb.Verb):
    """Stop servers: cut their power, or ask them first with --soft.

    Example: nova-libvirt server stop web1 --soft --timeout 30
    """

    DOING, DONE = 'stopping', 'stopped'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--soft', action='store_true',
            help='let it shut down by itself, and cut its power only after '
                 f'{_SOFT_S:g} s, or --timeout')
        return parser

    def act(
            self, driver: 'driver_module.LibvirtDriver', row: Summary,
            parsed_args: argparse.Namespace, line: ports.Progress) -> None:
        if not parsed_args.soft:
            driver.power_off(row, progress=line)
            return
        line.step('waiting for it to shut down')
        driver.power_off(
            row, timeout_s=base.arguments_of(self).timeout or _SOFT_S,
            retry_interval_s=_RETRY_S, progress=line)


class ServerReboot(verb.Verb):
    """Reboot servers: ask them, and cut their power if they do not obey.

    Example: nova-libvirt server reboot web1 --hard
    """

    DOING, DONE = 'rebooting', 'rebooted'
    LEAVES_RUNNING = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--hard', action='store_true',
            help='cut its power at once, and define its domain again')
        return parser

    def act(
            self, driver: 'driver_module.LibvirtDriver', row: Summary,
            parsed_args: argparse.Namespace, line: ports.Progress) -> None:
        from nova_libvirt_driver.spec import guest as guest_spec

        kind = guest_spec.RebootType
        driver.reboot(
            verb.recorded(driver, row),
            kind.HARD if parsed_args.hard else kind.SOFT,
            progress=line)


class ServerPause(verb.Verb):
    """Stop the CPUs of servers, and keep their memory.

    Example: nova-libvirt server pause web1
    """

    DOING, DONE = 'pausing', 'paused'

    def act(
            self, driver: 'driver_module.LibvirtDriver', row: Summary,
            parsed_args: argparse.Namespace, line: ports.Progress) -> None:
        driver.pause(row)


class ServerUnpause(verb.Verb):
    """Let paused servers go on.

    Example: nova-libvirt server unpause web1
    """

    DOING, DONE = 'unpausing', 'unpaused'
    LEAVES_RUNNING = True

    def act(
            self, driver: 'driver_module.LibvirtDriver', row: Summary,
            parsed_args: argparse.Namespace, line: ports.Progress) -> None:
        driver.unpause(row)


class ServerSuspend(verb.Verb):
    """Save the memory of servers to disk, and stop them.

    Example: nova-libvirt server suspend web1
    """

    DOING, DONE = 'suspending', 'suspended'

    def act(
            self, driver: 'driver_module.LibvirtDriver', row: Summary,
            parsed_args: argparse.Namespace, line: ports.Progress) -> None:
        line.step('saving its memory')
        driver.suspend(row)


class ServerResume(verb.Verb):
    """Let suspended servers go on from their saved memory.

    Example: nova-libvirt server resume web1
    """

    DOING, DONE = 'resuming', 'resumed'
    LEAVES_RUNNING = True

    def act(
            self, driver: 'driver_module.LibvirtDriver', row: Summary,
            parsed_args: argparse.Namespace, line: ports.Progress) -> None:
        driver.resume(verb.recorded(driver, row))
