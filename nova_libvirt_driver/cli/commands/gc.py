# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt gc``: remove what nothing belongs to any more."""

import argparse
from typing import Any
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import confirmation
from nova_libvirt_driver.cli import leftovers
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module

Listed = tuple[tuple[str, ...], list[tuple[Any, ...]]]

_COLUMNS = ('Kind', 'Path', 'Reason', 'Status')


class Gc(base.Lister):
    """Remove what nothing belongs to any more, and list it.

    That is damaged images, parts of images, and the folders of instances of
    which this libvirt has no domain: do not do that to the folder of another
    libvirt's stopped guests. Those that other hosts may have stay. What was
    interrupted is cleaned up first, as by every command that changes a server.

    Example: nova-libvirt gc --dry-run
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.set_defaults(print_empty=True)
        parser.add_argument(
            '--dry-run', action='store_true', help='remove nothing')
        confirmation.add_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        arguments = base.arguments_of(self)
        lend = sources.local if parsed_args.dry_run else sources.working
        with lend(arguments) as driver:
            found, reason = find(driver)
            if reason:
                self._tell_left_out(reason)
            if found and not parsed_args.dry_run:
                confirmation.obtain(
                    self.app, 'remove '
                    f'{", ".join(one.path for one in found)}',
                    yes=parsed_args.yes)
            return _COLUMNS, [(
                one.kind, cells.Text(one.path), cells.Text(one.reason),
                'found' if parsed_args.dry_run else _removed(driver, one))
                for one in found]

    def _tell_left_out(self, reason: str) -> None:
        """Say why no folders of instances are among what was found."""
        self.app.stderr.write(terminal.plain(
            f'note: folders of servers in {cfg.CONF.instances_path} stay, as '
            f'other hosts may have servers there: {reason}. Remove one by '
            'hand only when no host that has the folder lists its id with '
            '"virsh list --all --uuid", and "nova-libvirt operations list" '
            'does not name it here.') + '\n')


def find(
        driver: 'driver_module.LibvirtDriver',
) -> tuple[list[leftovers.Leftover], str]:
    """Return what there is, and why folders of instances are left out."""
    conf = cfg.CONF
    images = list(leftovers.of_images(sources.images_path(conf)))
    if sources.is_pretended(driver):
        return images, ''
    domains = {row.uuid for row in driver.list_instance_summaries()}
    folders, reason = leftovers.of_instances(
        conf.instances_path, conf.host, domains)
    return [*images, *folders], reason


def _removed(
        driver: 'driver_module.LibvirtDriver',
        one: leftovers.Leftover) -> str:
    images = sources.images(cfg.CONF)
    try:
        if one.kind == leftovers.FOLDER:
            gone = driver.delete_instance_files(
                instance_spec.InstanceRef(one.id, one.id))
            return 'removed' if gone else 'stays: it is in use'
        if one.kind == leftovers.IMAGE:
            images.delete(one.id)
        else:
            images.sweep()
    except exception.DriverError as error:
        return f'stays: {error}'
    return 'removed'
