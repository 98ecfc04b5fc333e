# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt flavor``: the sizes that servers may have.

They are built in; ``server create`` takes other sizes by options.
"""

import argparse
from typing import Any

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.images import flavors

_COLUMNS = ('Name', 'vCPUs', 'Memory MiB', 'Disk GiB', 'Ephemeral GiB',
            'Swap MiB')


class FlavorList(base.Lister):
    """List the built-in sizes of servers.

    Example: nova-libvirt flavor list
    """

    def take_action(
            self, parsed_args: argparse.Namespace
            ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        return _COLUMNS, [
            (flavor.name, flavor.vcpus, flavor.memory_mib, flavor.root_gib,
             flavor.ephemeral_gib, flavor.swap_mib)
            for flavor in flavors.builtin()]
