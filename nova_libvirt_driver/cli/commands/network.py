# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt network``: what a port can be plugged into."""

import contextlib
import os
from typing import Any

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.doctor import check_connection
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import nic as nic_spec

Listed = tuple[tuple[str, ...], list[tuple[Any, ...]]]

_COLUMNS = ('Network', 'Kind', 'Status')
_DEVICES = '/sys/class/net'


class NetworkList(base.Lister):
    """List what --network and "port attach" can name.

    Bridges are those of this machine, also the ones that libvirt makes.

    Example: nova-libvirt network list
    """

    def take_action(self, parsed_args: Any) -> Listed:
        with sources.local(base.arguments_of(self)) as driver:
            rows: list[tuple[Any, ...]] = []
            # An embedded QEMU has no networks of libvirt's.
            with contextlib.suppress(exception.UnsupportedOperation):
                rows += [(cells.Text(name), nic_spec.NicKind.NETWORK.value,
                          'active' if active else 'stopped')
                         for name, active in driver.list_networks()]
            if not check_connection.is_remote(driver.uri()):
                rows += [(cells.Text(f'bridge={name}'),
                          nic_spec.NicKind.BRIDGE.value, 'active')
                         for name in sorted(os.listdir(_DEVICES))
                         if os.path.isdir(f'{_DEVICES}/{name}/bridge')]
            if driver.get_host_facts().hypervisor_type == 'QEMU':
                rows.append((nic_spec.NicKind.USER.value,
                             nic_spec.NicKind.USER.value, 'active'))
        return _COLUMNS, rows
