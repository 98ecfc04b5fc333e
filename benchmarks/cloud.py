# SPDX-License-Identifier: Apache-2.0

"""Servers under nova-compute, with this driver and with Nova's own.

Run ``tools/devcloud/os python -m benchmarks.cloud`` at the top of the tree
while the cloud of ``tools/devcloud/up`` runs. It restarts nova-compute with
one driver and the other in turns.
"""

import argparse
from collections.abc import Callable
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import time
from typing import Any

import openstack

from benchmarks import measure

TREE = pathlib.Path(__file__).parents[1]
DRIVERS = {
    'ours': 'nova_libvirt_driver.LibvirtDriver',
    "Nova's": 'libvirt.LibvirtDriver',
}
ROUNDS = 2
BOOTS = 5
REBOOTS = 3
SNAPSHOTS = 3
MOVES = 4
PARALLEL = 8
POLL_S = 0.1
LIMIT_S = 180
NOT_SLOWER = 1.05
LOG = pathlib.Path(os.environ.get('DEVCLOUD_STATE', '/var/lib/devcloud'),
                   'log', 'nova-compute-h1.log')
SPAWNED = re.compile(r'Took ([0-9.]+) seconds to spawn the instance')

Taken = dict[str, list[float]]


def main() -> int:
    """Measure, print the result and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--json', metavar='FILE', help='write the result to a file, too')
    parser.add_argument(
        '--rounds', metavar='N', type=int, default=ROUNDS,
        help='how often each driver has its turn (default: %(default)s)')
    arguments = parser.parse_args()
    if arguments.rounds < ROUNDS:
        parser.error(f'fewer than {ROUNDS} rounds have no quartiles')
    taken: dict[str, Taken] = {name: {} for name in DRIVERS}
    for number in range(arguments.rounds):
        names = list(DRIVERS)[::-1 if number % 2 else 1]
        for name in names:
            _restart(DRIVERS[name])
            Turn(taken[name]).run()
            print(f'round {number + 1}: {name} done', file=sys.stderr)
    _restart(DRIVERS['ours'])
    return measure.finish(_rows(taken), arguments.json)


def _restart(driver: str) -> None:
    subprocess.run(
        [TREE / 'tools' / 'devcloud' / 'restart-compute'], check=True,
        env={**os.environ, 'COMPUTE_DRIVER': driver},
        stdout=subprocess.DEVNULL)


def _rows(taken: dict[str, Taken]) -> list[measure.Row]:
    rows = []
    ours, theirs = (taken[name] for name in DRIVERS)
    for what in ours:
        pair = [measure.Times(tuple(side[what])) for side in (ours, theirs)]
        goal = 0.5 if what == Turn.SHARE else NOT_SLOWER
        rows += [
            measure.time_row(f'{what}, {name}', times)
            for name, times in zip(DRIVERS, pair)]
        rows.append(measure.ratio_row('  ratio', *pair, at_most=goal))
    return rows


class Turn:
    """What is measured while one driver has its turn.

    :param taken: seconds by what took them; is added to
    """

    SHARE = 'spawn in the driver, without a port'

    def __init__(self, taken: Taken) -> None:
        self._taken = taken
        self._cloud = openstack.connect(
            load_yaml_config=False, load_envvars=True,
            compute_default_microversion='2.90')
        self._nova = self._cloud.compute
        self._image = self._cloud.image.find_image('guest').id
        self._flavor = self._nova.find_flavor('42').id
        self._network = self._cloud.network.find_network('private').id

    def run(self) -> None:
        """Measure everything once."""
        # Warms up: the image comes into the cache.
        self._delete([self._boot('none')])
        self._one_after_the_other()
        self._without_port()
        self._in_parallel()
        self._moves()

    def _one_after_the_other(self) -> None:
        servers = [
            self._timed('boot to ACTIVE', self._boot) for _ in range(BOOTS)]
        for server in servers[:REBOOTS]:
            self._timed('hard reboot', self._reboot, server)
        for server in servers[:SNAPSHOTS]:
            image = self._timed('snapshot', self._snapshot, server)
            self._cloud.image.delete_image(image)
        for server in servers:
            self._timed('delete', self._delete, [server])

    def _without_port(self) -> None:
        with LOG.open() as log:
            log.seek(0, os.SEEK_END)
            servers = [self._boot('none') for _ in range(BOOTS)]
            self._taken.setdefault(self.SHARE, []).extend(
                map(float, SPAWNED.findall(log.read())))
        self._delete(servers)

    def _in_parallel(self) -> None:
        servers = self._timed(
            f'boot of {PARALLEL} at once', self._boot_many)
        self._delete(servers)

    def _moves(self) -> None:
        hosts = [service.host for service in self._nova.services(
            binary='nova-compute') if service.state == 'up']
        server = self._boot()
        for _ in range(MOVES):
            if len(hosts) > 1:
                # The first one to another host brings its image there.
                self._timed('live migration', self._migrate, server, hosts)
            else:
                self._timed('resize on one host', self._resize, server)
                self._nova.revert_server_resize(server)
                self._wait(server, 'ACTIVE')
        self._delete([server])

    def _timed(
            self, what: str, function: Callable[..., Any],
            *arguments: object) -> Any:
        results = []
        seconds = measure.timed(
            lambda: results.append(function(*arguments)))
        self._taken.setdefault(what, []).append(seconds)
        return results[0]

    # What is timed.

    def _boot(self, networks: Any = None) -> Any:
        server = self._create(networks)
        self._wait(server, 'ACTIVE')
        return server

    def _boot_many(self) -> list[Any]:
        servers = [self._create() for _ in range(PARALLEL)]
        for server in servers:
            self._wait(server, 'ACTIVE')
        return servers

    def _create(self, networks: Any = None) -> Any:
        return self._nova.create_server(
            name='benchmark', image_id=self._image, flavor_id=self._flavor,
            networks=networks or [{'uuid': self._network}])

    def _reboot(self, server: Any) -> None:
        self._nova.reboot_server(server, 'HARD')
        self._wait(server, 'ACTIVE')

    def _snapshot(self, server: Any) -> Any:
        image = self._nova.create_server_image(server, 'benchmark')
        _until(lambda: self._cloud.image.get_image(
            image.id).status == 'active')
        self._wait(server, 'ACTIVE')
        return image

    def _migrate(self, server: Any, hosts: list[str]) -> None:
        here = self._nova.get_server(server.id).compute_host
        there = next(host for host in hosts if host != here)
        self._nova.live_migrate_server(
            server, host=there, block_migration='auto')
        self._wait(server, 'ACTIVE')
        if self._nova.get_server(server.id).compute_host != there:
            raise SystemExit(f'{server.id} is not on {there}')

    def _resize(self, server: Any) -> None:
        self._nova.resize_server(server, '84')
        self._wait(server, 'VERIFY_RESIZE')

    def _delete(self, servers: list[Any]) -> None:
        for server in servers:
            self._nova.delete_server(server)
        for server in servers:
            _until(self._is_gone, server)

    def _is_gone(self, server: Any) -> bool:
        with contextlib.suppress(openstack.exceptions.NotFoundException):
            self._nova.get_server(server.id)
            return False
        return True

    def _wait(self, server: Any, status: str) -> None:
        def reached() -> bool:
            now = self._nova.get_server(server.id)
            if now.status == 'ERROR':
                raise SystemExit(f'{server.id} is in ERROR: {now.fault}')
            return now.status == status and not now.task_state

        _until(reached)


def _until(question: Callable[..., bool], *arguments: object) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not question(*arguments):
        if time.monotonic() > deadline:
            raise SystemExit(f'waited for {LIMIT_S} s in vain')
        time.sleep(POLL_S)


if __name__ == '__main__':
    sys.exit(main())
