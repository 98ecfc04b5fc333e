# SPDX-License-Identifier: Apache-2.0

"""What travels over RPC: plain JSON types, and errors that come back."""

import json
from typing import Any

from oslo_messaging.rpc import dispatcher

from nova_libvirt_driver.compute import audit
from nova_libvirt_driver.compute import plain
from nova_libvirt_driver.compute import rpc
from nova_libvirt_driver.compute import rpc_client
from nova_libvirt_driver.compute import rpc_error
from nova_libvirt_driver.compute import verbs
from nova_libvirt_driver import exception
from nova_libvirt_driver.messaging import transport
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.testing import fake_driver
from tests import base

UUID = fake_driver.GUEST.uuid
ROW = {'uuid': UUID, 'name': 'web1', 'state': 'running', 'vcpus': 2,
       'memory_mib': 2048, 'owned': True, 'other_folder': '',
       'saved': False, 'rescued': False, 'reason': '',
       'stopped_by_storage': False, 'display_name': ''}


class EndpointTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.driver = fake_driver.FakeDriver()
        self.driver.host = 'node1'
        self.endpoint = rpc.ComputeEndpoint(verbs.Endpoint(
            'node1', self.driver, lambda: {'host': 'node1'}))

    def call(self, method: str, **arguments: Any) -> Any:
        return json.loads(json.dumps(
            self.endpoint.call({}, method, arguments)))

    def refusal(self, method: str, **arguments: Any) -> exception.DriverError:
        error = self.assertRaises(
            dispatcher.ExpectedException, self.call, method, **arguments)
        wire = error.exc_info[1]
        assert isinstance(wire, rpc_error.WireError)
        return rpc_error.from_wire(wire, 'node1')

    def test_results_are_plain_json(self) -> None:
        self.assertEqual({'host': 'node1'}, self.call('status'))
        row, = self.call('list_instance_summaries')
        self.assertEqual((UUID, 1), (row['uuid'], row['state']))

    def test_errors_of_the_driver_travel(self) -> None:
        self.driver.connected = False

        error = self.refusal('list_instance_summaries')

        self.assertIsInstance(error, exception.HypervisorUnavailable)
        self.assertIn('disconnected', str(error))
        self.assertTrue(error.next_step)

    def test_nothing_is_changed_from_afar(self) -> None:
        for method in ('destroy', 'init_host', '__init__'):
            error = self.refusal(method, instance={'uuid': UUID, 'name': ''})

            self.assertIsInstance(error, exception.InvalidRequest)


class WireErrorTestCase(base.TestCase):

    def test_only_errors_of_this_package_are_made(self) -> None:
        for kind in ('SystemExit', 'Mapping', '__doc__', 'NoSuchError'):
            wire = rpc_error.WireError(kind, 'text', 'advice', {})

            error = rpc_error.from_wire(wire, 'node1')

            self.assertIsInstance(error, exception.RemoteError)
            self.assertIn('text', str(error))

    def test_fields_of_another_version_still_show_the_text(self) -> None:
        wire = rpc_error.WireError(
            'InstanceNotFound', 'web9 is away', '', {'other': 1})

        error = rpc_error.from_wire(wire, 'node1')

        self.assertIsInstance(error, exception.RemoteError)
        self.assertIn('InstanceNotFound: web9 is away', str(error))


class ClientTestCase(base.TestCase):

    def test_a_client_needs_a_transport_url(self) -> None:
        error = self.assertRaises(
            exception.InvalidConfiguration, rpc_client.ComputeClient,
            self.config.conf, 'node1')

        self.assertIn('transport_url is not set', str(error))

    def test_a_url_without_sense_is_named_without_its_password(self) -> None:
        transport.is_set(self.config.conf)
        self.config.config(transport_url='foo://me:geheim@there/')

        error = self.assertRaises(
            exception.InvalidConfiguration, rpc_client.ComputeClient,
            self.config.conf, 'node1')

        self.assertIn("'foo'", str(error))
        self.assertNotIn('geheim', str(error))


class PlainTestCase(base.TestCase):

    def test_values_become_plain_json(self) -> None:
        driver = fake_driver.FakeDriver()
        found = audit.PeriodicAudit(driver, 60).run_once()

        content = plain.plain(found)

        self.assertEqual(content, json.loads(json.dumps(content)))
        self.assertEqual([ROW], content['instances'])
        self.assertEqual(8, content['resources']['vcpus'])
        self.assertEqual([*range(8)], content['resources']['online_cpus'])

    def test_other_enumerations_become_their_value(self) -> None:
        self.assertEqual(
            'postcopy-started',
            plain.plain(event_spec.Transition.POSTCOPY_STARTED))

    def test_versions_are_written_as_people_do(self) -> None:
        self.assertEqual('9.0.0', host_spec.dotted(9_000_000))
        self.assertEqual('7.2.22', host_spec.dotted(7_002_022))
        self.assertEqual('0.0.2', host_spec.dotted(2))
