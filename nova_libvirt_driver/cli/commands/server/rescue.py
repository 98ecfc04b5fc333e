# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt server rescue`` and ``unrescue``."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_libvirt_driver.cli.commands import image as image_command
from nova_libvirt_driver.cli.commands.server import verb
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module

Summary = verb.Summary


class ServerRescue(verb.Verb):
    """Start servers from another image, with their own disk beside it.

    Example: nova-libvirt server rescue web1 --image tools
    """

    DOING, DONE = 'rescuing', 'rescued'
    LEAVES_RUNNING = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--image', required=True, metavar='IMAGE',
            help='image to start from')
        parser.add_argument(
            '--stable-device', action='store_true',
            help='let all disks keep their names; the rescue disk is last')
        return parser

    def before(
            self, rows: Sequence[Summary],
            parsed_args: argparse.Namespace) -> None:
        parsed_args.image = image_command.find(
            sources.images(cfg.CONF), parsed_args.image).id

    def act(
            self, driver: 'driver_module.LibvirtDriver', row: Summary,
            parsed_args: argparse.Namespace, line: ports.Progress) -> None:
        driver.rescue(
            verb.recorded(driver, row), parsed_args.image,
            stable_device=(disk_spec.RescueDevice()
                           if parsed_args.stable_device else None),
            progress=line)


class ServerUnrescue(verb.Verb):
    """Start rescued servers from their own disk again.

    Example: nova-libvirt server unrescue web1
    """

    DOING, DONE = 'unrescuing', 'unrescued'
    LEAVES_RUNNING = True

    def act(
            self, driver: 'driver_module.LibvirtDriver', row: Summary,
            parsed_args: argparse.Namespace, line: ports.Progress) -> None:
        driver.unrescue(verb.recorded(driver, row))
