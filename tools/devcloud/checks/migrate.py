# SPDX-License-Identifier: Apache-2.0

"""Migrate a server live to the second host and back, then cold."""

import argparse
import sys
from typing import Any

from checks import session

# 2.30 chooses a host for a live migration.
VERSIONS = {'compute_default_microversion': '2.90'}


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


def main() -> int:
    """Run the check."""
    argparse.ArgumentParser(
        prog='tools/devcloud/migrate-test', description=__doc__,
        epilog='It needs two hosts: DEVCLOUD_HOSTS=2 tools/devcloud/up',
    ).parse_args()
    return session.run(_check)


if __name__ == '__main__':
    sys.exit(main())
