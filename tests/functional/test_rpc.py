# SPDX-License-Identifier: Apache-2.0

"""Remote calls to a real service over a real broker."""

import dataclasses
import signal
import subprocess
import sys
import time
from typing import ClassVar

from nova_libvirt_driver.compute import remote
from nova_libvirt_driver.compute import rpc_client
from nova_libvirt_driver import exception
from nova_libvirt_driver.messaging import transport
from nova_libvirt_driver.testing import broker
from tests.functional import process

GUEST = '6695eb01-f6a4-8304-79aa-97f2502e193f'


class RpcTestCase(process.ServiceTestCase):

    def client(self, url: str, timeout_s: float = 60) -> (
            rpc_client.ComputeClient):
        # Registers the option.
        transport.is_set(self.config.conf)
        self.config.config(transport_url=url)
        client = rpc_client.ComputeClient(
            self.config.conf, process.HOST, timeout_s)
        self.addCleanup(client.close)
        return client


class BrokerTestCase(RpcTestCase):

    broker: ClassVar[broker.RabbitBroker]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.broker = broker.RabbitBroker()
        cls.broker.setUp()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.broker.cleanUp()
        super().tearDownClass()

    def test_a_service_answers_over_a_broker(self) -> None:
        url = self.broker.transport_url
        service = self.run_service('--config-file', self.configure(
            f'transport_url = {url}'))
        service.wait_for('Serving RPC')
        client = self.client(url)

        status = client.call('status', {})
        self.assertEqual('connected', status['connection']['state'])
        self.assertTrue(status['service']['enabled'])
        driver = remote.RemoteDriver(client)
        row, = driver.list_instance_summaries()
        self.assertEqual(
            (GUEST, 'test', 'running'), (row.uuid, row.name, row.status))
        self.assertEqual(1, driver.get_info(row).state)
        error = self.assertRaises(
            exception.InstanceNotFound, driver.get_domain_xml,
            dataclasses.replace(row, uuid=GUEST.replace('6', '7')))
        self.assertIn('was not found on host node1', str(error))
        self.assertLess(self.stop(service, signal.SIGTERM), process.SOON_S)

    def test_the_command_asks_a_service_over_the_broker(self) -> None:
        service = self.run_service('--config-file', self.configure(
            f'transport_url = {self.broker.transport_url}'))
        service.wait_for('Serving RPC')

        cases = {('server', 'list', '--all', '-f', 'csv'): GUEST,
                 ('host', 'show', '-f', 'json'): 'test:///default',
                 ('service', 'show', '-f', 'value'): '"enabled": true'}
        for words, expected in cases.items():
            done = self.run_client('--rpc', process.HOST, *words)
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertIn(expected, done.stdout)
            self.assertEqual('', done.stderr)

    def test_a_service_on_another_host_is_missed(self) -> None:
        url = self.broker.transport_url

        error = self.assertRaises(
            exception.RemoteError, self.client(url, 1).call, 'status', {})

        self.assertIn('no answer within 1 s', str(error))
        self.assertIn('nova-libvirt-compute', error.next_step)


class NoBrokerTestCase(RpcTestCase):

    def test_the_service_starts_and_stops_without_its_broker(self) -> None:
        limit_s = self.start_limit_s()
        port, = broker.free_ports(1)
        service = self.run_service('--config-file', self.configure(
            f'transport_url = rabbit://guest:guest@127.0.0.1:{port}/'))

        took_s = service.wait_for('connected to test:///default')

        self.assertLess(took_s, limit_s)
        self.assertLess(
            self.stop(service, signal.SIGTERM), process.SOON_S)

    def test_a_client_gives_up_without_a_broker(self) -> None:
        port, = broker.free_ports(1)
        path = self.configure(
            f'transport_url = rabbit://guest:guest@127.0.0.1:{port}/')
        limit_s = self.start_limit_s()
        begun = time.monotonic()

        # A process of its own: oslo.messaging's threads never give up.
        done = subprocess.run(
            [sys.executable, '-m', 'nova_libvirt_driver.cli',
             '--config-file', path, '--timeout', '1',
             '--rpc', process.HOST, 'server', 'list'],
            capture_output=True, text=True, timeout=process.TIMEOUT_S,
            check=False)

        self.assertLess(time.monotonic() - begun, limit_s)
        self.assertEqual(5, done.returncode, done.stderr)
        self.assertIn('the message bus cannot be reached', done.stderr)
