# SPDX-License-Identifier: Apache-2.0

"""A cloud with hosts of this driver and of another one.

The others run Nova's own fake driver. Whatever a server cannot do on a host of
this driver yet has to be refused while the server is as it was.
"""

import pathlib
from typing import Any

import fixtures
from lxml import etree
from nova import context as nova_context
from nova import objects
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional import integrated_helpers
from nova.virt import driver as nova_driver
import os_vif

from tests.nova.conformance import base
from tests.nova.conformance import servers

THEIRS = 'fake.MediumFakeDriver'
VOLUME = '6ca404f3-d844-4169-bb96-bc792f37de98'
NBD = {'driver_volume_type': 'nbd', 'data': {
    'name': 'export', 'hosts': ['192.0.2.1'], 'ports': ['10809']}}

_load = nova_driver.load_compute_driver


class MixedCloudTest(
        integrated_helpers.ProviderUsageBaseTestCase):  # type: ignore[misc]

    compute_driver = THEIRS
    REQUIRES_LOCKING = True

    def setUp(self) -> None:
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        node = self.folder / 'node.xml'
        node.write_text('<node/>')
        self.uri = f'test://{node}'
        self.useFixture(fixtures.MonkeyPatch(
            'nova.virt.driver.load_compute_driver', self.load))
        self.flags(instances_path=str(self.folder / 'instances'),
                   vif_plugging_timeout=0)
        os_vif.initialize()
        for verb in ('plug', 'unplug'):
            self.useFixture(fixtures.MonkeyPatch(
                f'os_vif.{verb}', lambda vif, instance: None))
        base.allow_sys(self)
        base.allow_connector(self)
        # The scheduler prefers the host that refuses.
        self.useFixture(nova_fixtures.HostNameWeigherFixture(
            {'ours': 3, 'theirs': 2, 'third': 1}))
        super().setUp()
        self.load_ours = False
        # Servers of one flavor fit on each of the hosts.
        self.flavor = self._create_flavor(
            memory_mb=512, vcpu=1, disk=1, ephemeral=0)
        self.larger = self._create_flavor(
            memory_mb=1024, vcpu=1, disk=1, ephemeral=0)

    def load(self, virtapi: Any, compute_driver: str | None = None) -> Any:
        if not self.load_ours:
            return _load(virtapi, THEIRS)
        self.flags(connection_uri=self.uri, virt_type='qemu',
                   group='libvirt')
        base.allow_interfaces(self)
        made = servers.SimulatedDriver(virtapi)
        self.addCleanup(made.cleanup_host, None)
        return made

    def start(self, host: str, *, ours: bool = False) -> Any:
        self.load_ours = ours
        return self._start_compute(host)

    def server(self, host: str) -> dict[str, Any]:
        made: dict[str, Any] = self._create_server(
            flavor_id=self.flavor, networks='none', host=host)
        return made

    def host_of(self, server: dict[str, Any]) -> str:
        return str(self._show_server(server)['OS-EXT-SRV-ATTR:host'])

    def failure(self, server: dict[str, Any], action: str) -> str:
        """Wait until an action has failed; return why."""
        self._wait_for_action_fail_completion(
            server, action, 'compute_prep_resize')
        found = self._show_server(server)
        self.assertEqual(('ACTIVE', None), (
            found['status'], found['OS-EXT-STS:task_state']))
        return str(self._event_of(server, action)['details'])

    def _event_of(
            self, server: dict[str, Any], action: str) -> dict[str, Any]:
        for one in self.admin_api.get_instance_actions(server['id']):
            if one['action'] == action:
                detail = self.admin_api.get_instance_action_details(
                    server['id'], one['request_id'])
                event: dict[str, Any] = next(
                    event for event in detail['events']
                    if event['result'] == 'Error')
                return event
        raise AssertionError(f'no {action} of {server["id"]}')

    def test_a_cold_migration_to_this_driver_is_refused_in_time(
            self) -> None:
        theirs = self.start('theirs')
        self.start('ours', ours=True)
        server = self.server('theirs')

        self.admin_api.post_server_action(server['id'], {'migrate': None})

        self.assertIn('does not take servers over',
                      self.failure(server, 'migrate'))
        self.assertEqual('theirs', self.host_of(server))
        self.assertEqual(
            [server['id']], theirs.driver.list_instance_uuids())

    def test_a_resize_goes_to_another_host_that_can(self) -> None:
        self.start('theirs')
        self.start('ours', ours=True)
        server = self.server('theirs')
        self.start('third')

        self.admin_api.post_server_action(
            server['id'], {'resize': {'flavorRef': self.larger}})

        self._wait_for_state_change(server, 'VERIFY_RESIZE')
        self.assertEqual('third', self.host_of(server))

    def test_a_resize_of_a_server_of_ours_leaves_it_as_it_is(self) -> None:
        ours = self.start('ours', ours=True)
        server = self.server('ours')
        self.start('theirs')

        self.admin_api.post_server_action(
            server['id'], {'resize': {'flavorRef': self.larger}})

        self._wait_for_action_fail_completion(
            server, 'resize', 'compute_resize_instance')
        self.assertIn('does not give servers',
                      self._event_of(server, 'resize')['details'])
        self.assertEqual('ACTIVE', self._show_server(server)['status'])
        self.assertEqual('ours', self.host_of(server))
        self.assertEqual([server['id']], ours.driver.list_instance_uuids())

    def down(self, compute: Any) -> None:
        service, = self.admin_api.get_services(
            host=compute.host, binary='nova-compute')
        self.admin_api.put_service_force_down(service['id'], True)

    def test_an_evacuation_to_this_driver_is_refused(self) -> None:
        theirs = self.start('theirs')
        server = self.server('theirs')
        self.start('ours', ours=True)
        self.down(theirs)

        self._evacuate_server(
            server, expected_state='ACTIVE', expected_task_state=None,
            expected_host='theirs', expected_migration_status='failed')

    def test_what_was_evacuated_is_removed_at_the_start(self) -> None:
        ours = self.start('ours', ours=True)
        server = self.server('ours')
        folder = self.folder / 'instances' / server['id']
        self.start('theirs')
        self.down(ours)
        self._evacuate_server(server, expected_host='theirs')
        self.assertEqual([server['id']], ours.driver.list_instance_uuids())

        # What it does when it starts.
        ours.manager.init_host(ours.service_ref)

        self.assertEqual([], ours.driver.list_instance_uuids())
        self.assertEqual('theirs', self.host_of(server))
        self.assertFalse(folder.exists())

    def test_what_a_server_got_is_written_down(self) -> None:
        self.start('ours', ours=True)
        server = self.server('ours')

        kept = objects.Instance.get_by_uuid(
            nova_context.get_admin_context(), server['id'],
            expected_attrs=['system_metadata']).system_metadata

        self.assertEqual('virtio', kept['image_hw_disk_bus'])
        # What Nova lists servers without is empty then.
        self.assertTrue(kept['image_hw_machine_type'])

    def boot_from_volume(self) -> dict[str, Any]:
        server = self._build_server(
            networks='none', flavor_id=self.flavor)
        server.pop('imageRef')
        server['block_device_mapping_v2'] = [{
            'source_type': 'volume', 'destination_type': 'volume',
            'boot_index': 0,
            'uuid': VOLUME}]
        made: dict[str, Any] = self.api.post_server({'server': server})
        return made

    def test_a_server_boots_from_a_volume(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'nova.tests.fixtures.CinderFixture.VOLUME_CONNECTION_INFO',
            {'fake': NBD}))
        ours = self.start('ours', ours=True)

        server = self.boot_from_volume()
        self._wait_for_state_change(server, 'ACTIVE')
        for action, state in (
                ({'reboot': {'type': 'HARD'}}, 'ACTIVE'),
                ({'os-stop': None}, 'SHUTOFF'),
                ({'os-start': None}, 'ACTIVE')):
            self.api.post_server_action(server['id'], action)
            self._wait_for_state_change(server, state)

        disk, = etree.fromstring(ours.driver.domain_xml(
            server['id'])).iterfind('devices/disk')
        self.assertEqual(('nbd', VOLUME, '1', 'vda'), tuple(
            disk.xpath(f'string({path})') for path in (
                'source/@protocol', 'serial', 'boot/@order', 'target/@dev')))
        self._delete_server(server)
        self.assertEqual([], ours.driver.list_instance_uuids())
        self.assertEqual([], [
            path.name for path in self.folder.glob('instances/*')
            if path.name == server['id']])
