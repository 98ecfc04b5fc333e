# SPDX-License-Identifier: Apache-2.0

"""Servers with volumes, from Nova's API down to real QEMU.

Of the volume service there is Nova's own fixture. Its volumes are files that
the host has without any doing of it.
"""

import pathlib
from typing import Any
from typing import ClassVar
from unittest import mock

import fixtures
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional.api import client
from nova.tests.functional import integrated_helpers
import os_vif

from nova_libvirt_driver.testing import guests as guests_rig
from nova_libvirt_driver.testing import libvirtd
from tests.nova.conformance import base
from tests.nova.conformance import servers

ROOT = nova_fixtures.CinderFixture.IMAGE_BACKED_VOL
DATA = '0cecc618-a007-4bb6-91f7-462293fe2ac2'
SHARED = nova_fixtures.CinderFixture.MULTIATTACH_VOL
SIZE_BYTES = 4 << 20
GIB = 1 << 30


class Volumes(nova_fixtures.CinderFixture):  # type: ignore[misc]
    """A volume service.

    :param folder: of its volumes
    """

    def __init__(self, test: Any, folder: pathlib.Path) -> None:
        super().__init__(test)
        self._folder = folder

    def file(self, volume_id: str) -> pathlib.Path:
        """Return the file of a volume, which is there then."""
        path = self._folder / volume_id
        if not path.exists():
            path.write_bytes(guests_rig.boot_sector('up').ljust(
                SIZE_BYTES, b'\0'))
            path.chmod(0o666)
        return path

    def _find_connection_info(
            self, volume_id: str, attachment_id: str) -> dict[str, Any]:
        return {'driver_volume_type': 'gpfs', 'data': {
            'volume_id': volume_id, 'attachment_id': attachment_id,
            'device_path': str(self.file(volume_id))}}


class QemuServersTestCase(
        integrated_helpers._IntegratedTestBase):  # type: ignore[misc]
    """All tests share a libvirtd."""

    api_major_version = 'v2.1'
    microversion = '2.93'
    host: ClassVar[libvirtd.PrivateHost]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.host = libvirtd.PrivateHost('volumes')
        cls.host.start()
        cls.addClassCleanup(cls.host.stop)

    def setUp(self) -> None:
        self.addCleanup(base.remove_guests, self.host.uri)
        folder = pathlib.Path(self.useFixture(fixtures.TempDir(
            rootdir=str(self.host.directory))).path)
        folder.chmod(0o755)

        def load(virtapi: Any, compute_driver: str | None = None) -> Any:
            self.flags(
                connection_uri=self.host.uri, virt_type='qemu',
                cpu_mode='none', sysinfo_serial='none', tb_cache_size=32,
                device_detach_attempts=1, device_detach_timeout=1,
                group='libvirt')
            base.allow_interfaces(self)
            self.driver = servers.SimulatedDriver(virtapi)
            self.addCleanup(self.driver.cleanup_host, None)
            return self.driver

        self.useFixture(fixtures.MonkeyPatch(
            'nova.virt.driver.load_compute_driver', load))
        self.flags(instances_path=str(folder / 'instances'),
                   vif_plugging_timeout=0, shutdown_timeout=1)
        os_vif.initialize()
        base.allow_sys(self)
        base.allow_connector(self)
        super().setUp()
        self.volumes = self.useFixture(Volumes(self, folder))

    def serials(self, server: dict[str, Any]) -> list[str]:
        """Return the serial numbers of a guest's disks."""
        xml = self.driver.domain_xml(server['id'])
        return [part.partition('</serial>')[0]
                for part in xml.split('<serial>')[1:]]

    def attach(self, server: dict[str, Any], volume_id: str = DATA) -> None:
        self.api.post_server_volume(server['id'], {'volumeAttachment': {
            'volumeId': volume_id}})
        self._wait_for_instance_action_event(
            server, 'attach_volume', 'compute_attach_volume', 'success')


class VolumesTest(QemuServersTestCase):

    def server(self) -> dict[str, Any]:
        """Return a server that boots from a volume."""
        made = self.api.post_server({'server': {
            'flavorRef': '1', 'name': 'one', 'networks': 'none',
            'block_device_mapping_v2': [{
                'boot_index': 0, 'uuid': ROOT, 'source_type': 'volume',
                'destination_type': 'volume'}]}})
        found: dict[str, Any] = self._wait_for_state_change(made, 'ACTIVE')
        return found

    def detach(self, server: dict[str, Any]) -> None:
        self.api.delete_server_volume(server['id'], DATA)
        self._wait_for_volume_detach(server['id'], DATA)

    def rebuild(self, server: dict[str, Any], image_id: str) -> None:
        # The volume service says so when it has written the image.
        with mock.patch.object(
                self.compute.manager.virtapi, 'wait_for_instance_event',
                autospec=True):
            self.api.post_server_action(
                server['id'], {'rebuild': {'imageRef': image_id}})
            self._wait_for_instance_action_event(
                server, 'rebuild', 'compute_rebuild_instance', 'success')
        self._wait_for_state_change(server, 'ACTIVE')

    def test_a_volume_comes_grows_and_goes(self) -> None:
        server = self.server()

        self.attach(server)
        self.assertEqual([ROOT, DATA], self.serials(server)[-2:])
        self.policy.set_rules({
            'os_compute_api:os-server-external-events:create': '@'},
            overwrite=False)
        self.api.api_post('/os-server-external-events', {'events': [{
            'name': 'volume-extended', 'server_uuid': server['id'],
            'tag': DATA}]})
        self._wait_for_instance_action_event(
            server, 'extend_volume', 'compute_extend_volume', 'success')
        self.assertEqual(GIB, self.volumes.file(DATA).stat().st_size)
        self.api.post_server_action(
            server['id'], {'reboot': {'type': 'HARD'}})
        self._wait_for_state_change(server, 'ACTIVE')
        self.assertIn(DATA, self.serials(server))
        # Nothing in the guest could let go of it.
        self.assertRaises(
            client.OpenStackApiException, self.detach, server)
        self.assertIn(DATA, self.serials(server))
        self._stop_server(server)
        self.detach(server)

        self.assertNotIn(DATA, self.serials(server))
        self._start_server(server)
        self.assertNotIn(DATA, self.serials(server))

    def test_a_server_with_volumes_is_rebuilt(self) -> None:
        server = self.server()
        self.attach(server)
        own = '155d900f-4e14-4e4c-a73d-069cbf4541e6'
        other = self.glance.auto_disk_config_enabled_image['id']
        for image_id in (own, other):
            before = self.host.virsh('dominfo', server['id'])

            self.rebuild(server, image_id)

            self.assertEqual([ROOT, DATA], self.serials(server)[-2:])
            self.assertNotEqual(
                before, self.host.virsh('dominfo', server['id']))

    def test_a_volume_that_several_servers_may_have(self) -> None:
        server = self.server()

        self.attach(server, SHARED)

        self.assertIn('<shareable/>', self.driver.domain_xml(server['id']))
