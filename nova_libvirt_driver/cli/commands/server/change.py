# SPDX-License-Identifier: Apache-2.0

"""``server snapshot``, ``rename``, ``resize-disk`` and ``delete``.

They change what a server is, or that it is.
"""

import argparse
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING
import uuid

from oslo_config import cfg

from nova_libvirt_driver.cli import arguments as kinds
from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.commands import image as image_command
from nova_libvirt_driver.cli.commands.server import verb
from nova_libvirt_driver.cli import confirmation
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.cli.output import progress
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver import ports

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module

Summary = verb.Summary
Shown = tuple[tuple[str, ...], tuple[Any, ...]]


class ServerSnapshot(base.ShowOne):
    """Keep the root disk of a server as a new image; it runs on.

    Example: nova-libvirt server snapshot web1 --name web1-monday
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='NAME', help='name or id')
        parser.add_argument(
            '--name', required=True, dest='image', metavar='IMAGE',
            help='name of the image')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        arguments = base.arguments_of(self)
        with sources.working(arguments) as driver:
            row = naming.on_host(driver, parsed_args.server)
            images = sources.images(cfg.CONF)
            image_command.check_free(images, parsed_args.image)
            images.check_name(parsed_args.image)
            image_id = str(uuid.uuid4())
            with (progress.shown(
                    self.app.stderr, f'snapshot of {naming.shown(row)}',
                    quiet=not arguments.verbose_level) as line,
                  errors.state('there is no image, and the server is as it '
                               'was')):
                driver.snapshot(row, image_id, name=parsed_args.image,
                                progress=line)
            return image_command.shown(images.show(image_id))


class ServerRename(base.ShowOne):
    """Give a server another name; its domain keeps the first one.

    Example: nova-libvirt server rename web1 web1-old
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='NAME', help='name or id')
        parser.add_argument('new', metavar='NEW', help='the new name')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        arguments = base.arguments_of(self)
        with sources.working(arguments) as driver:
            rows = driver.list_instance_summaries()
            row = naming.find(rows, parsed_args.server, cfg.CONF.host)
            # It may take the name of its own domain back.
            others = [one for one in rows if one.uuid != row.uuid]
            naming.check_new(others, parsed_args.new, cfg.CONF.host)
            with errors.state(f'see how it is: nova-libvirt server show '
                              f'{row.uuid}'):
                driver.rename(row, parsed_args.new)
        return verb.COLUMNS, (
            row.uuid, cells.Text(parsed_args.new), row.status)


class ServerResizeDisk(base.ShowOne):
    """Make the root disk of a server larger; it runs on.

    Its system may have to be told to use the room.

    Example: nova-libvirt server resize-disk web1 --size 40
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='NAME', help='name or id')
        parser.add_argument(
            '--size', required=True, metavar='GIB', type=kinds.positive,
            help='size of its root disk then')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        arguments = base.arguments_of(self)
        with sources.working(arguments) as driver:
            row = naming.on_host(driver, parsed_args.server)
            name = naming.shown(row)
            with (progress.shown(
                    self.app.stderr, f'resizing the disk of {name}',
                    quiet=not arguments.verbose_level) as line,
                  errors.state('its recorded size is as it was')):
                driver.resize_root_disk(
                    verb.recorded(driver, row), parsed_args.size,
                    progress=line)
        return ('id', 'name', 'root_gib'), (
            row.uuid, cells.Text(name), parsed_args.size)


class ServerSet(verb.Verb):
    """Change how servers are looked after.

    One that is marked for autostart is started by the compute service when
    that starts, as after a boot of the host, unless it was stopped on purpose
    since.

    Example: nova-libvirt server set web1 --autostart
    """

    DOING, DONE = 'changing', 'changed'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--autostart', action=argparse.BooleanOptionalAction,
            required=True, help='let the service start it, or not')
        return parser

    def act(
            self, driver: 'driver_module.LibvirtDriver', row: Summary,
            parsed_args: argparse.Namespace, line: ports.Progress) -> None:
        driver.set_autostart(row, enabled=parsed_args.autostart)


class ServerDelete(verb.Verb):
    """Delete servers with all that belongs to them.

    Example: nova-libvirt server delete web1 web2 --yes
    """

    DOING, DONE = 'deleting', 'deleted'

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        confirmation.add_option(parser)
        return parser

    def before(
            self, rows: Sequence[Summary],
            parsed_args: argparse.Namespace) -> None:
        names = ', '.join(naming.shown(row) for row in rows)
        confirmation.obtain(
            self.app, f'delete server {names}', yes=parsed_args.yes)

    def act(
            self, driver: 'driver_module.LibvirtDriver', row: Summary,
            parsed_args: argparse.Namespace, line: ports.Progress) -> None:
        driver.destroy(row, progress=line)

    def status(
            self, driver: 'driver_module.LibvirtDriver',
            row: Summary) -> str:
        return 'deleted'
