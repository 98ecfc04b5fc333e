# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt cache``: images that were fetched, for servers to share.

They are copies, and come back by themselves when they are needed. A disk of a
server may be based on one.
"""

import argparse
import datetime
from typing import Any

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli import confirmation
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.conf import policy as policy_module

Listed = tuple[tuple[str, ...], list[tuple[Any, ...]]]

_COLUMNS = ('Key', 'Image', 'Format', 'Size MiB', 'Taken MiB', 'In use',
            'Last used')
_BYTES_PER_MIB = 1 << 20


class CacheShow(base.Lister):
    """List the cached images, and which of them disks are based on.

    Example: nova-libvirt cache show
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        # Lazy, as it brings half of storage.
        from nova_libvirt_driver.storage import image_cache
        from nova_libvirt_driver.storage import image_users

        conf = configuration.load(base.arguments_of(self))
        policy = policy_module.storage(conf)
        cached = image_cache.entries(policy.image_cache_path)
        used = image_users.below(
            policy.instances_path, policy.image_cache_path
        ) if cached else set()
        names = {image_cache.key_of(image.id): image.name
                 for image in sources.images(conf).list()}
        return _COLUMNS, [(
            cells.Id(one.key), cells.Text(names.get(one.key, '')),
            one.format, cells.Number(
                None if one.virtual_size_bytes is None
                else one.virtual_size_bytes // _BYTES_PER_MIB),
            one.taken_bytes // _BYTES_PER_MIB, one.key in used,
            cells.moment(one.used_at, datetime.datetime.fromtimestamp(
                one.used_at).strftime('%Y-%m-%d %H:%M')),
        ) for one in cached]


class CacheClean(base.Lister):
    """Remove cached images that no disk is based on.

    Those that were used within the time that [image_cache]
    remove_unused_original_minimum_age_seconds says stay, unless --all is said.

    Example: nova-libvirt cache clean --all --yes
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--all', action='store_true',
            help='also those that were used a moment ago')
        confirmation.add_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        arguments = base.arguments_of(self)
        conf = configuration.load(arguments)
        confirmation.obtain(
            self.app, 'remove cached images that are not in use',
            yes=parsed_args.yes)
        # Who says this means it, whatever the service leaves alone.
        age_s = policy_module.storage(conf).unused_image_age_s
        with sources.working(arguments) as driver:
            removed = driver.manage_image_cache(
                min_age_s=0 if parsed_args.all else age_s)
        return ('Path',), [(cells.Text(path),) for path in sorted(removed)]
