# SPDX-License-Identifier: Apache-2.0

"""Evacuate a server from a host that lost its power, which then comes back.

The second host goes; the server is there again on the first one, with its
volume in a cloud that has volumes; and what the second one still has of it is
removed as soon as it is back.
"""

import argparse
import contextlib
import subprocess
import sys
from typing import Any

import openstack

from checks import compute
from checks import session
from checks import volume as volume_check

# Of 2.95 and later, a server is down after its evacuation.
VERSIONS = {
    'block_storage_default_microversion': '3.60',
    'compute_default_microversion': '2.90',
}
LOST, KEPT = 'h2', 'h1'
LIMIT_S = 240


class Host:
    """The host that is lost, and what it has of servers."""

    def __init__(self, check: session.Check) -> None:
        self._check = check
        self._nova = check.cloud.compute
        self._folder = compute.STATE / 'hosts' / LOST

    def lose(self) -> None:
        """Take its power away, and tell Nova.

        The check gives it back at its end, whatever happens.
        """
        subprocess.run(
            [compute.DEVCLOUD / 'power', 'off', LOST], check=True)
        self._check.callback(self.bring_back)
        self._nova.update_service_forced_down(
            self._service(), LOST, 'nova-compute', forced=True)
        self._check.say(f'{LOST} is gone')

    def bring_back(self) -> None:
        """Give its power back, unless it has it, and wait for Nova."""
        if self._service().state == 'up':
            return
        subprocess.run(
            [compute.DEVCLOUD / 'power', 'on', LOST], check=True)
        self._check.until(
            self._is_allowed_up, f'{LOST} knows of the evacuation', LIMIT_S)
        self._check.until(
            lambda: self._service().state == 'up', f'{LOST} is back', LIMIT_S)

    def _is_allowed_up(self) -> bool:
        # Nova refuses until the host knows of the evacuation.
        with contextlib.suppress(openstack.exceptions.BadRequestException):
            self._nova.update_service_forced_down(
                self._service(), LOST, 'nova-compute', forced=False)
            return True
        return False

    def _service(self) -> Any:
        return next(self._nova.services(host=LOST, binary='nova-compute'))

    def has(self, server: Any) -> list[str]:
        """Return what it has of a server: definitions, its folder."""
        places = (
            self._folder / 'etc-libvirt' / 'qemu' /
            f'{server.instance_name}.xml',
            self._folder / 'nova-compute' / 'instances' / server.id)
        return [str(place.relative_to(self._folder))
                for place in places if place.exists()]


def _settled(check: session.Check, server: Any) -> str:
    server = check.cloud.compute.get_server(server.id)
    if server.status == 'ERROR':
        raise session.Failed(f'evacuation: {server.fault["message"]}')
    if server.task_state or server.compute_host != KEPT:
        return ''
    return f'{server.status} on {server.compute_host}'


def _check() -> None:
    with session.Check('evacuate', **VERSIONS) as check:
        host, volumes = Host(check), volume_check.Volumes(check)
        volume = None
        if check.cloud.has_service('block-storage'):
            volume = volumes.make()
        server = check.boot(image_id=check.image(), host=LOST)
        address = check.address(server)
        check.until(lambda: check.ssh(address, 'hostname'), 'ssh', 120)
        if volume is not None:
            volumes.attach(server, volume, address)
            check.ssh(address, volume_check.WRITE)
        host.lose()
        check.cloud.compute.evacuate_server(server, host=KEPT)
        check.until(
            lambda: _settled(check, server), 'evacuated', LIMIT_S)
        check.until(lambda: check.ssh(address, 'hostname'), 'ssh', 120)
        if volume is not None:
            check.until(
                lambda: check.ssh(address, volume_check.READ) ==
                'written before', 'what was written is on the volume')
        check.say(f'{LOST} has {host.has(server)}')
        host.bring_back()
        check.until(
            lambda: not host.has(server), f'{LOST} has nothing of it', 120)
        check.until(lambda: check.ssh(address, 'hostname'), 'ssh still')


def main() -> int:
    """Run the check."""
    argparse.ArgumentParser(
        prog='tools/devcloud/evacuate-test', description=__doc__,
        epilog='It needs two hosts: DEVCLOUD_HOSTS=2 tools/devcloud/up',
    ).parse_args()
    return session.run(_check)


if __name__ == '__main__':
    sys.exit(main())
