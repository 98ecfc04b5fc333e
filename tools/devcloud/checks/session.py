# SPDX-License-Identifier: Apache-2.0

"""What the checks share: a connection, servers, ssh, and a cleanup.

The tests of tests/cloud are made of the same parts.
"""

from collections.abc import Callable
import contextlib
import pathlib
import subprocess
import tempfile
import time
from typing import Any
import uuid

import openstack

READY = 'login prompt follows'


class Failed(Exception):
    """What a check found wrong."""


def run(check: Callable[[], None]) -> int:
    """Run a check, say how it went, and return the exit status."""
    try:
        check()
    except Failed as exc:
        print(f'FAILED: {exc}')
        return 1
    print('ok')
    return 0


class Check(contextlib.ExitStack):
    """One check: what it made is removed at its end, last made first."""

    def __init__(self, name: str, **versions: str) -> None:
        super().__init__()
        self.name = f'{name}-{uuid.uuid4().hex[:6]}'
        self.cloud = openstack.connect(
            load_yaml_config=False, load_envvars=True, **versions)
        self._start = time.monotonic()
        self._key = self._make_key()

    def _make_key(self) -> pathlib.Path:
        folder = self.enter_context(tempfile.TemporaryDirectory())
        key = pathlib.Path(folder) / 'key'
        subprocess.run(
            ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(key)],
            check=True)
        self.cloud.compute.create_keypair(
            name=self.name,
            public_key=key.with_suffix('.pub').read_text())
        self.callback(self.cloud.compute.delete_keypair, self.name)
        return key

    def say(self, message: str) -> None:
        """Print what happened and when."""
        seconds = time.monotonic() - self._start
        print(f'{seconds:6.1f} s  {message}', flush=True)

    def until(
            self, question: Callable[[], Any], what: str,
            limit_s: float = 60) -> Any:
        """Ask until the answer is not false; say and return the last one.

        :raises Failed: it stayed false
        """
        deadline = time.monotonic() + limit_s
        while not (answer := question()):
            if time.monotonic() > deadline:
                raise Failed(f'{what}: not within {limit_s:.0f} s')
            time.sleep(0.5)
        self.say(f'{what}: {answer}')
        return answer

    def boot(self, network: str = 'private', **options: Any) -> Any:
        """Boot a server, and return it when it is active."""
        nova = self.cloud.compute
        networks: Any = 'none'
        if network != 'none':
            networks = [{'uuid': self.cloud.network.find_network(network).id}]
        server = nova.create_server(
            name=self.name, flavor_id=nova.find_flavor('42').id,
            networks=networks, key_name=self.name, **options)
        self.callback(self._delete, server)
        server = nova.wait_for_server(server, wait=240, interval=1)
        self.say(f'{server.status} on {server.hypervisor_hostname}')
        return server

    def image(self) -> str:
        """Return the guests' image."""
        return str(self.cloud.image.find_image('guest').id)

    def _delete(self, server: Any) -> None:
        self.cloud.compute.delete_server(server)
        self.cloud.compute.wait_for_delete(server, wait=120, interval=1)
        self.say('deleted')

    def console_ready(self, server: Any) -> str:
        """Wait for the guest's last line, return what the console says."""
        def text() -> str:
            console = self.cloud.compute.get_server_console_output(server)
            return str(console.get('output') or '')

        self.until(lambda: READY in text(), 'console ready', 120)
        return text()

    def address(self, server: Any) -> str:
        """Give the server a floating address."""
        neutron = self.cloud.network
        port = next(iter(neutron.ports(device_id=server.id)))
        floating = neutron.create_ip(
            floating_network_id=neutron.find_network('public').id,
            port_id=port.id)
        self.callback(neutron.delete_ip, floating)
        address = str(floating.floating_ip_address)
        self.say(f'{address} is {port.fixed_ips[0]["ip_address"]}, '
                 f'{port.binding_vif_type} port {port.status}')
        return address

    def ssh(self, address: str, command: str) -> str:
        """Run a command in the guest; empty if it can't be reached."""
        options = [
            'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null',
            'LogLevel=ERROR', 'ConnectTimeout=10']
        result = subprocess.run(
            ['ssh', '-i', str(self._key), *(f'-o{o}' for o in options),
             f'root@{address}', command],
            capture_output=True, text=True)
        return result.stdout.strip()
