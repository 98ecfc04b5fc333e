# SPDX-License-Identifier: Apache-2.0

"""A private message broker: RabbitMQ on free ports of the loopback address.

Everything it writes is in a temporary folder, its port mapper is its own, and
both processes are ended by their process id. It never touches a broker of
the system.
"""

import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import time

import fixtures

SERVER = '/usr/lib/rabbitmq/bin/rabbitmq-server'
START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.1
ADDRESS = '127.0.0.1'
_PORTS = range(22_000, 32_000)


class BrokerFailed(Exception):
    """The broker did not start; the message has the end of its output."""


class RabbitBroker(fixtures.Fixture):
    """A running broker.

    :ivar transport_url: for oslo.messaging
    """

    transport_url: str

    def _setUp(self) -> None:
        if not os.path.exists(SERVER):
            raise BrokerFailed(
                'A private broker needs RabbitMQ: install the package '
                'rabbitmq-server.')
        self.folder = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path)
        self._ports = free_ports(3)
        broker_port, _, mapper_port = self._ports
        self.transport_url = f'rabbit://guest:guest@{ADDRESS}:{broker_port}/'
        self._start(['epmd', '-address', ADDRESS, '-port', str(mapper_port)],
                    'epmd.log')
        server = self._start([SERVER], 'server.log')
        self._wait(server, broker_port)

    def _environment(self) -> dict[str, str]:
        broker_port, distribution_port, mapper_port = map(str, self._ports)
        folder = str(self.folder)
        return {
            'PATH': os.environ.get('PATH', os.defpath),
            'HOME': folder,
            'LANG': 'C.UTF-8',
            'ERL_EPMD_PORT': mapper_port,
            'ERL_EPMD_ADDRESS': ADDRESS,
            # Small and quiet: one core, no dump after a kill.
            'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': '+S 1:1',
            'ERL_CRASH_DUMP_BYTES': '0',
            'RABBITMQ_NODENAME': f'test{broker_port}@localhost',
            'RABBITMQ_NODE_IP_ADDRESS': ADDRESS,
            'RABBITMQ_NODE_PORT': broker_port,
            'RABBITMQ_DIST_PORT': distribution_port,
            'RABBITMQ_MNESIA_BASE': f'{folder}/mnesia',
            'RABBITMQ_LOG_BASE': f'{folder}/log',
            'RABBITMQ_PID_FILE': f'{folder}/pid',
            'RABBITMQ_CONFIG_FILE': f'{folder}/none',
            'RABBITMQ_CONF_ENV_FILE': f'{folder}/none',
            'RABBITMQ_ENABLED_PLUGINS_FILE': f'{folder}/plugins',
        }

    def _start(
            self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        with open(self.folder / log, 'wb') as output:
            process = subprocess.Popen(
                command, env=self._environment(), cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True)
        self.addCleanup(_stop, process)
        return process

    def _wait(self, server: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if server.poll() is not None:
                break
            if _speaks_amqp(port):
                return
            time.sleep(POLL_S)
        output = (self.folder / 'server.log').read_text(errors='replace')
        raise BrokerFailed(f'RabbitMQ did not start:\n{output[-2000:]}')


def free_ports(count: int) -> list[int]:
    """Return free ports of the loopback address.

    They are outside the range that the kernel uses for outgoing
    connections, so they stay free until they are needed.
    """
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(found) < count:
            one = stack.enter_context(socket.socket())
            # Seeds of tests are the same in each process.
            port = random.SystemRandom().choice(_PORTS)
            with contextlib.suppress(OSError):
                one.bind((ADDRESS, port))
                found.append(port)
    return found


def _speaks_amqp(port: int) -> bool:
    # The port is open a little before the broker answers on it.
    try:
        with socket.create_connection((ADDRESS, port), timeout=1) as link:
            link.sendall(b'AMQP\x00\x00\x09\x01')
            return bool(link.recv(1))
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        # The server is a child of the script that was started.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
