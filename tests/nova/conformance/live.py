# SPDX-License-Identifier: Apache-2.0

"""Live migration, from Nova's API down to real QEMU on two hosts.

Both have the folder of the instances in common.
"""

import contextlib
import pathlib
from typing import Any
from typing import ClassVar
import uuid as uuid_module

import fixtures
import libvirt
from nova import context as nova_context
from nova import objects
from nova.tests.functional import integrated_helpers
from nova.virt.libvirt import driver as libvirt_driver
import os_vif

from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import libvirtd
from tests.functional import pair
from tests.nova.conformance import base
from tests.nova.conformance import servers
from tests.nova.conformance import volumes

IMAGE = '155d900f-4e14-4e4c-a73d-069cbf4541e6'
NAMES = ('one', 'two')


class Driver(servers.SimulatedDriver):
    """The driver of one of several hosts in a process."""

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:
        return {_node(name): name for name in self.get_available_nodes()}

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        return {**super().get_available_resource(nodename),
                'uuid': _node(nodename)}


def _nothing(*arguments: object) -> None:
    """Take no note of events."""


def _node(name: str) -> str:
    return str(uuid_module.uuid5(uuid_module.NAMESPACE_DNS, name))


class LiveMigrationTest(
        integrated_helpers.ProviderUsageBaseTestCase):  # type: ignore[misc]
    """All tests share two libvirtds."""

    compute_driver = 'fake.MediumFakeDriver'
    microversion = '2.93'
    REQUIRES_LOCKING = True
    hosts: ClassVar[list[libvirtd.PrivateHost]]
    volume_ids: ClassVar[tuple[str, ...]] = (volumes.DATA,)

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        with contextlib.ExitStack() as stack:
            cls.hosts = pair.hosts(stack)
            stack.pop_all()
        for host in cls.hosts:
            cls.addClassCleanup(host.stop)

    def setUp(self) -> None:
        for host in self.hosts:
            self.addCleanup(base.remove_guests, host.uri)
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.folder.chmod(0o755)
        self.useFixture(fixtures.MonkeyPatch(
            'nova.virt.driver.load_compute_driver', self.load))
        self.flags(instances_path=str(self.folder / 'instances'),
                   vif_plugging_timeout=0, shutdown_timeout=1)
        (self.folder / 'instances').mkdir()
        self.flags(
            virt_type='qemu', cpu_mode='none', sysinfo_serial='none',
            tb_cache_size=32, group='libvirt', live_migration_uri=(
                f'qemu+unix:///system?socket={self.folder}/%s/libvirt-sock'))
        os_vif.initialize()
        for verb in ('plug', 'unplug'):
            self.useFixture(fixtures.MonkeyPatch(
                f'os_vif.{verb}', lambda vif, instance: None))
        base.allow_sys(self)
        base.allow_connector(self)
        self.loading = 0
        super().setUp()
        self.volumes = self.useFixture(volumes.Volumes(self, self.folder))
        self.flavor = self._create_flavor(
            memory_mb=64, vcpu=1, disk=1, ephemeral=0)
        for number, name in enumerate(NAMES):
            # Where it is found by the address at which it takes guests.
            (self.folder / pair.ADDRESSES[number]).symlink_to(
                self.hosts[number].directory / 's')
            self.loading = number
            self._start_compute(name)
        self.drivers = [self.computes[name].driver for name in NAMES]

    def load(self, virtapi: Any, compute_driver: str | None = None) -> Any:
        uri = self.hosts[self.loading].uri
        # Else both would be where the configuration says last.
        self.useFixture(fixtures.MonkeyPatch(
            'nova_libvirt_driver.driver.LibvirtDriver.uri',
            lambda core: getattr(core, 'where', uri)))
        self.flags(host=NAMES[self.loading])
        base.allow_interfaces(self)
        self.flags(connection_uri=uri, group='libvirt')
        made = self.make_driver(virtapi)
        if isinstance(made, Driver):
            core: Any = made._core
            core.where = uri
        self.addCleanup(made.cleanup_host, None)
        return made

    def make_driver(self, virtapi: Any) -> Any:
        """Return the driver of a host."""
        return Driver(virtapi)

    def port(self) -> list[dict[str, str]]:
        """Return a port, for which each host has a bridge."""
        port = self.neutron._ports[self.neutron.port_1['id']]
        port['binding:vif_details'] = {
            'ovs_hybrid_plug': True, 'port_filter': True}
        bridge = f'qbr{port["id"]}'[:14]
        for host in self.hosts:
            for words in (f'link add {bridge} type bridge',
                          f'link set {bridge} up'):
                host.run(['ip', *words.split()])
        return [{'port': port['id']}]

    def server(
            self, *volume_ids: str, networks: Any = 'none') -> dict[str, Any]:
        made: dict[str, Any] = self._create_server(
            flavor_id=self.flavor, image_uuid=IMAGE, networks=networks,
            host='one')
        for volume_id in volume_ids:
            self.api.post_server_volume(made['id'], {'volumeAttachment': {
                'volumeId': volume_id}})
            self._wait_for_instance_action_event(
                made, 'attach_volume', 'compute_attach_volume', 'success')
        return made

    def migrate(self, server: dict[str, Any], number: int) -> None:
        """Ask for a migration to one of the hosts."""
        self.flags(
            live_migration_inbound_addr=pair.ADDRESSES[number],
            group='libvirt')
        self.flags(host=NAMES[number])
        self.admin_api.post_server_action(server['id'], {
            'os-migrateLive': {
                'host': NAMES[number], 'block_migration': 'auto'}})

    def ended(self, server: dict[str, Any], *statuses: str) -> Any:
        """Wait until the last migration of a server is over; return it."""
        self._wait_for_migration_status(server, statuses)
        self._wait_for_state_change(server, 'ACTIVE')
        return objects.MigrationList.get_by_filters(
            nova_context.get_admin_context(),
            {'instance_uuid': server['id']})[-1]

    def host_of(self, server: dict[str, Any]) -> str:
        return str(self._show_server(server)['OS-EXT-SRV-ATTR:host'])

    def domain_xml(self, server: dict[str, Any], number: int) -> str:
        return self.hosts[number].virsh('dumpxml', server['id'])

    def guests(self) -> list[list[str]]:
        return [driver.list_instance_uuids() for driver in self.drivers]

    def journal(self) -> list[str]:
        return [path.name for path in self.folder.glob(
            'instances/.operations/*.json')]

    def wait_clean(self) -> None:
        """Wait until the host that was left has seen Nova's new record."""
        fake_ports.wait_until(
            lambda: not self.journal(), 'an empty journal', timeout_s=90)

    def test_a_server_goes_there_and_back(self) -> None:
        server = self.server(*self.volume_ids, networks=self.port())
        uuid = server['id']

        for number in (1, 0):
            self.migrate(server, number)
            migration = self.ended(server, 'completed')

            self.assertEqual(NAMES[number], self.host_of(server))
            self.assertEqual(
                [[], [uuid]] if number else [[uuid], []], self.guests())
            self.assertIn('running', self.hosts[number].virsh(
                'domstate', uuid))
            for volume_id in self.volume_ids:
                self.assertIn(volume_id, self.domain_xml(server, number))
            self.assertIn(
                '<source bridge=', self.domain_xml(server, number))
            self.assertEqual(
                [NAMES[number]], [host for host, binding
                                  in self.neutron._port_bindings[
                                      self.neutron.port_1['id']].items()
                                  if binding['status'] == 'ACTIVE'])
            self.wait_clean()
            self.assertEqual('live-migration', migration.migration_type)
        self.api.post_server_action(uuid, {'reboot': {'type': 'HARD'}})
        self._wait_for_state_change(server, 'ACTIVE')
        self._delete_server(server)
        self.assertEqual([[], []], self.guests())

    def test_a_server_that_cannot_go_runs_on(self) -> None:
        server = self.server(*self.volume_ids)
        (self.folder / pair.ADDRESSES[1]).unlink()

        self.migrate(server, 1)
        self.ended(server, 'failed', 'error')

        self.assertEqual('one', self.host_of(server))
        self.assertEqual([[server['id']], []], self.guests())
        self.assertIn('running', self.hosts[0].virsh(
            'domstate', server['id']))
        devices = objects.BlockDeviceMappingList.get_by_instance_uuid(
            nova_context.get_admin_context(), server['id'])
        self.assertEqual(
            {device.volume_id: [device.attachment_id] for device in devices
             if device.is_volume}, {
                 volume_id: list(found) for volume_id, found
                 in self.volumes.volume_to_attachment.items() if found})
        # One that may go by now does.
        (self.folder / pair.ADDRESSES[1]).symlink_to(
            self.hosts[1].directory / 's')
        self.migrate(server, 1)
        self.ended(server, 'completed')
        self.assertEqual([[], [server['id']]], self.guests())
        self.wait_clean()

    def test_disks_are_not_copied_to_where_they_are(self) -> None:
        server = self.server()
        self.admin_api.post_server_action(server['id'], {
            'os-migrateLive': {'host': 'two', 'block_migration': True}},
            check_response_status=[202])
        self._wait_for_migration_status(server, ['error'])

        self.assertEqual('one', self.host_of(server))
        self.assertEqual([], list(self.folder.glob('instances/tmp*')))


class Theirs(libvirt_driver.LibvirtDriver):  # type: ignore[misc]
    """Nova's own driver, likewise."""

    def init_host(self, host: str) -> None:
        super().init_host(host)
        # Libvirt does not see that the folder is shared: it is no NFS.
        self._live_migration_flags |= libvirt.VIR_MIGRATE_UNSAFE

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:
        return {_node(name): name for name in self.get_available_nodes()}

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        return {**super().get_available_resource(nodename),
                'uuid': _node(nodename)}


class MixedTest(LiveMigrationTest):
    """The second host has Nova's own driver."""

    def make_driver(self, virtapi: Any) -> Any:
        if not self.loading:
            return Driver(virtapi)
        # Events of libvirt have one loop in a process, which runs already.
        for name in ('_init_events', '_event_lifecycle_callback'):
            self.useFixture(fixtures.MonkeyPatch(
                f'nova.virt.libvirt.host.Host.{name}', _nothing))
        return Theirs(virtapi)


class Apart(Driver):
    """The driver of a host that has a folder of the instances to itself."""

    def check_can_live_migrate_destination(
            self, *args: Any, **kwargs: Any) -> Any:
        found = super().check_can_live_migrate_destination(*args, **kwargs)
        # The test's own process sees the files of both hosts.
        self.cleanup_live_migration_destination_check(None, found)
        return found


class BlockTest(LiveMigrationTest):
    """Disks are copied: each host has another folder at the same path."""

    # A volume in a file would have to be on a file system that libvirt knows
    # to be shared.
    volume_ids = ()

    def setUp(self) -> None:
        self.apart = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.apart.chmod(0o755)
        super().setUp()
        self.hosts[1].run([
            'mount', '--bind', str(self.apart),
            str(self.folder / 'instances')])
        self.addCleanup(self.hosts[1].run, [
            'umount', '-l', str(self.folder / 'instances')])

    def make_driver(self, virtapi: Any) -> Any:
        common = str(self.folder / 'instances')
        self.flags(instances_path=(
            str(self.apart) if self.loading else common))
        made = Apart(virtapi)
        self.flags(instances_path=common)
        return made

    def files(self, server: dict[str, Any]) -> list[bool]:
        return [(folder / server['id'] / 'disk').exists()
                for folder in (self.folder / 'instances', self.apart)]

    def test_a_server_goes_there_and_back(self) -> None:
        # There only: here the test's process has another path for its files.
        server = self.server()
        self.assertEqual([True, False], self.files(server))

        self.migrate(server, 1)
        migration = self.ended(server, 'completed')

        self.assertEqual('live-migration', migration.migration_type)
        self.assertEqual([False, True], self.files(server))
        self.assertEqual([[], [server['id']]], self.guests())
        self.assertIn('running', self.hosts[1].virsh(
            'domstate', server['id']))
        self.api.post_server_action(
            server['id'], {'reboot': {'type': 'HARD'}})
        self._wait_for_state_change(server, 'ACTIVE')
        self._delete_server(server)
        self.assertEqual([False, False], self.files(server))

    def test_disks_are_not_copied_to_where_they_are(self) -> None:
        server = self.server()
        self.admin_api.post_server_action(server['id'], {
            'os-migrateLive': {'host': 'two', 'block_migration': False}},
            check_response_status=[202])
        self._wait_for_migration_status(server, ['error'])

        self.assertEqual([True, False], self.files(server))
