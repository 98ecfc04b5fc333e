# SPDX-License-Identifier: Apache-2.0

"""A cloud with hosts of this driver and of another one.

The others run Nova's own fake driver.
"""

import pathlib
import shutil
from typing import Any

import fixtures
from lxml import etree
from nova import context as nova_context
from nova import objects
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional import integrated_helpers
from nova.virt import driver as nova_driver
import os_vif
from oslo_concurrency import processutils

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

    def test_a_server_whose_files_have_not_come_is_in_error(self) -> None:
        # Nova's fake driver has none to send.
        self.start('theirs')
        ours = self.start('ours', ours=True)
        server = self.server('theirs')

        self.admin_api.post_server_action(server['id'], {'migrate': None})

        self._wait_for_state_change(server, 'ERROR')
        self.assertEqual('ours', self.host_of(server))
        self.assertEqual([], ours.driver.list_instance_uuids())

    def transport(self, **failures: Exception) -> pathlib.Path:
        """Have what goes to another host in a folder; return that."""
        there = self.folder / 'there'

        class Transport:
            def create_dir(self, host: str, path: str) -> None:
                if 'create_dir' in failures:
                    raise failures['create_dir']
                there.mkdir()

            def create_file(self, host: str, path: str) -> None:
                """Make it where this host does not see it."""

            remove_file = create_file

            def copy_file(
                    self, source: str, target: str,
                    on_execute: Any) -> None:
                shutil.copy(source, there / pathlib.Path(target).name)

        self.useFixture(fixtures.MonkeyPatch(
            'nova.virt.libvirt.volume.remotefs.RemoteFilesystem', Transport))
        return there

    def test_a_server_goes_to_another_driver(self) -> None:
        there = self.transport()
        ours = self.start('ours', ours=True)
        server = self.server('ours')
        self.start('theirs')

        self.admin_api.post_server_action(
            server['id'], {'resize': {'flavorRef': self.larger}})

        self._wait_for_state_change(server, 'VERIFY_RESIZE')
        self.assertEqual('theirs', self.host_of(server))
        self.assertEqual([], ours.driver.list_instance_uuids())
        self.assertLessEqual({'disk', 'disk.info'}, {
            path.name for path in there.iterdir()})
        kept = self.folder / 'instances' / f'{server["id"]}_resize'
        self.assertTrue(kept.exists())
        self.admin_api.post_server_action(
            server['id'], {'confirmResize': None})
        self._wait_for_state_change(server, 'ACTIVE')
        self.assertFalse(kept.exists())

    def test_a_server_comes_back_from_another_driver(self) -> None:
        self.transport()
        ours = self.start('ours', ours=True)
        server = self.server('ours')
        self.start('theirs')
        self.admin_api.post_server_action(
            server['id'], {'resize': {'flavorRef': self.larger}})
        self._wait_for_state_change(server, 'VERIFY_RESIZE')

        self.admin_api.post_server_action(
            server['id'], {'revertResize': None})

        self._wait_for_state_change(server, 'ACTIVE')
        self.assertEqual('ours', self.host_of(server))
        self.assertEqual([server['id']], ours.driver.list_instance_uuids())
        self.assertIn('>524288</memory>',
                      ours.driver.domain_xml(server['id']))

    def test_a_host_that_cannot_be_reached_costs_nothing(self) -> None:
        self.transport(create_dir=processutils.ProcessExecutionError(
            stderr='Permission denied (publickey)'))
        ours = self.start('ours', ours=True)
        server = self.server('ours')
        self.start('theirs')

        self.admin_api.post_server_action(
            server['id'], {'resize': {'flavorRef': self.larger}})
        self._wait_for_action_fail_completion(
            server, 'resize', 'compute_resize_instance')

        self.assertEqual('ACTIVE', self._show_server(server)['status'])
        self.assertEqual('ours', self.host_of(server))
        self.assertEqual([server['id']], ours.driver.list_instance_uuids())
        self.assertEqual(
            [], list(self.folder.glob('instances/*_resize')))

    def down(self, compute: Any) -> None:
        service, = self.admin_api.get_services(
            host=compute.host, binary='nova-compute')
        self.admin_api.put_service_force_down(service['id'], True)

    def test_a_server_is_evacuated_to_this_driver(self) -> None:
        theirs = self.start('theirs')
        server = self.server('theirs')
        ours = self.start('ours', ours=True)
        self.down(theirs)

        self._evacuate_server(server, expected_host='ours')

        self.assertEqual([server['id']], ours.driver.list_instance_uuids())

    def test_an_evacuated_server_keeps_its_disk_on_shared_storage(
            self) -> None:
        theirs = self.start('theirs')
        ours = self.start('ours', ours=True)
        server = self.server('ours')
        disk = self.folder / 'instances' / server['id'] / 'disk'
        before = disk.stat().st_ino
        # As if it had been built there.
        instance = objects.Instance.get_by_uuid(
            nova_context.get_admin_context(), server['id'])
        ours.driver.destroy(
            None, instance, instance.get_network_info(), destroy_disks=False)
        node = objects.ComputeNode.get_first_node_by_host_for_old_compat(
            nova_context.get_admin_context(), 'theirs')
        instance.host, instance.node = 'theirs', node.hypervisor_hostname
        instance.compute_id = node.id
        instance.save()
        self.down(theirs)

        self._evacuate_server(server, expected_host='ours')

        self.assertEqual([server['id']], ours.driver.list_instance_uuids())
        self.assertEqual(before, disk.stat().st_ino)

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
