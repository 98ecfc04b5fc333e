# SPDX-License-Identifier: Apache-2.0

"""Migrate a server live to the second host and back, then cold.

With --rolling, the hosts change from Nova's own driver to the one of this tree
meanwhile, the second one first: a server is migrated live each time, with its
volume in a cloud that has volumes. Both have the driver of this tree then.
"""

import argparse
import sys
from typing import Any

from checks import compute
from checks import session
from checks import volume as volume_check

# 2.30 chooses a host for a live migration.
VERSIONS = {
    'block_storage_default_microversion': '3.60',
    'compute_default_microversion': '2.90',
}
# Of h1, then of h2.
MIXED = f'{compute.NOVAS} {compute.OURS}'
BOOT_ID = 'cat /proc/sys/kernel/random/boot_id'


def _settled(check: session.Check, server: Any, *states: str) -> str:
    server = check.cloud.compute.get_server(server.id)
    if server.task_state or server.status not in (*states, 'ERROR'):
        return ''
    return f'{server.status} on {server.compute_host}'


def _live(check: session.Check, server: Any, host: str) -> None:
    check.cloud.compute.live_migrate_server(
        server, host=host, block_migration='auto')
    check.until(
        lambda: _settled(check, server, 'ACTIVE'),
        f'live migration to {host}', 180)
    where = check.cloud.compute.get_server(server.id).compute_host
    if where != host:
        raise session.Failed(f'it runs on {where}, not on {host}')


def _cold(check: session.Check, server: Any) -> None:
    nova = check.cloud.compute
    nova.migrate_server(server)
    check.until(
        lambda: _settled(check, server, 'VERIFY_RESIZE'),
        'cold migration', 180)
    nova.confirm_server_resize(server)
    check.until(
        lambda: _settled(check, server, 'ACTIVE'), 'confirmed')


def _check() -> None:
    with session.Check('migrate', **VERSIONS) as check:
        server = check.boot(image_id=check.image(), host='h1')
        address = check.address(server)

        def reachable() -> str:
            return check.ssh(address, 'hostname')

        check.until(reachable, 'ssh', 120)
        for host in ('h2', 'h1'):
            _live(check, server, host)
            check.until(reachable, 'ssh')
        _cold(check, server)
        check.until(reachable, 'ssh', 120)


def _roll() -> None:
    compute.restart(compute.NOVAS)
    with session.Check('rolling', **VERSIONS) as check:
        check.callback(compute.restart, compute.OURS)
        volumes, volume = volume_check.Volumes(check), None
        if check.cloud.has_service('block-storage'):
            volume = volumes.make()
        server = check.boot(image_id=check.image(), host='h1')
        address = check.address(server)
        boot = check.until(lambda: check.ssh(address, BOOT_ID), 'ssh', 120)
        if volume is not None:
            volumes.attach(server, volume, address)
            check.ssh(address, volume_check.WRITE)

        def same() -> bool:
            return check.ssh(address, BOOT_ID) == boot and (
                volume is None or
                check.ssh(address, volume_check.READ) == 'written before')

        for drivers, path in ((MIXED, ('h2', 'h1', 'h2')),
                              (compute.OURS, ('h1', 'h2'))):
            compute.restart(drivers)
            check.say(f'h1 and h2 have {drivers}')
            for host in path:
                _live(check, server, host)
                check.until(same, 'it runs on, with its volume', 120)
        if volume is not None:
            volumes.detach(server, volume, address)


def main() -> int:
    """Run the check."""
    parser = argparse.ArgumentParser(
        prog='tools/devcloud/migrate-test', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='It needs two hosts: DEVCLOUD_HOSTS=2 tools/devcloud/up')
    parser.add_argument(
        '--rolling', action='store_true',
        help="between Nova's own driver and this one")
    return session.run(_roll if parser.parse_args().rolling else _check)


if __name__ == '__main__':
    sys.exit(main())
