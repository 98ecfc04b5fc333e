# SPDX-License-Identifier: Apache-2.0

"""What two hosts tell each other of a live migration."""

import json
import os
import pathlib
import types
from typing import Any
import unittest

import fixtures
import libvirt
from nova import exception as nova_exception
from nova import objects
from oslotest import base

from nova_libvirt_driver import conf
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import live_migration
from nova_libvirt_driver.nova_plugin import results
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.storage import image_cache
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import specs
from tests.nova import test_attached_volumes
from tests.nova import test_translate

CONF = test_translate.CONF
GIB = 1 << 30
IMAGE = '5f0c1f0e-6d1f-4a39-9f0c-0f3d5a9d7b11'
VOLUME = '6ca404f3-d844-4169-bb96-bc792f37de98'
FROM_VOLUME = {'block_device_mapping': [{'boot_index': 0}]}


class Glance:
    """Has one image, or none any more."""

    def __init__(self) -> None:
        self.has_image = True

    def get(self, context: Any, image_id: str) -> dict[str, Any]:
        if not self.has_image:
            raise nova_exception.ImageNotFound(image_id=image_id)
        return {'id': image_id, 'disk_format': 'raw', 'size': 1 << 20}

    def download(self, context: Any, image_id: str, data: Any,
                 trusted_certs: Any) -> None:
        data.write(bytes(1 << 20))


class Down:
    """Does not answer."""

    def get(self, context: Any, image_id: str) -> None:
        raise nova_exception.GlanceConnectionFailed(server='g', reason='r')


class Core:
    """The part of the driver that is asked before a migration."""

    def __init__(
            self, *disks: disk_spec.DiskUse,
            refusal: exception.DriverError | None = None) -> None:
        self._disks = disks
        self._refusal = refusal

    def get_instance_disk_info(
            self, instance: Any) -> tuple[disk_spec.DiskUse, ...]:
        return self._disks

    def check_can_live_migrate_source(self, instance: Any) -> None:
        if self._refusal is not None:
            raise self._refusal


def disk(name: str = 'disk', base_name: str = '') -> disk_spec.DiskUse:
    return disk_spec.DiskUse(
        path=f'/instances/one/{name}', format='qcow2', size_bytes=4 * GIB,
        taken_bytes=GIB, backing_file=base_name and f'/_base/{base_name}')


class CheckTest(base.BaseTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        CONF.set_override('instances_path', str(self.folder))
        self.addCleanup(CONF.clear_override, 'instances_path')
        self.instance = test_translate.make_instance()

    def offer(self, *, shared: bool = False, **fields: Any) -> Any:
        name = 'tmpfile'
        if shared:
            (self.folder / name).touch()
        return objects.LibvirtLiveMigrateData(
            filename=name, disk_available_mb=8 * 1024, **fields)

    def check(
            self, data: Any, *disks: disk_spec.DiskUse,
            info: Any = None,
            refusal: exception.DriverError | None = None) -> Any:
        core: Any = Core(*disks, refusal=refusal)
        return live_migration.checked(core, self.instance, data, info)

    def test_a_file_says_what_is_in_common(self) -> None:
        for shared, info, disks, expected in (
                (True, None, (disk(),), (True, True, False)),
                (False, None, (disk(),), (False, False, True)),
                (False, FROM_VOLUME, (), (False, True, False)),
                (False, FROM_VOLUME, (disk('disk.config'),),
                 (False, True, False)),
                (False, FROM_VOLUME, (disk('disk.eph0'),),
                 (False, False, True))):
            for path in self.folder.iterdir():
                path.unlink()
            found = self.check(
                self.offer(shared=shared), *disks, info=info)

            self.assertEqual(expected, (
                found.is_shared_instance_path,
                found.is_shared_block_storage, found.block_migration))
            self.assertEqual(
                self.instance.uuid, found.instance_relative_path)

    def test_a_folder_whose_time_cannot_be_set(self) -> None:
        CONF.set_override('instances_path', '/proc/self')
        self.assertRaises(PermissionError, os.utime, '/proc/self')

        self.assertFalse(self.check(
            self.offer(), disk()).is_shared_instance_path)

    def test_what_was_asked_has_to_fit(self) -> None:
        self.assertRaises(
            nova_exception.InvalidLocalStorage, self.check,
            self.offer(shared=True, block_migration=True), disk())
        (self.folder / 'tmpfile').unlink()
        self.assertRaises(
            nova_exception.InvalidSharedStorage, self.check,
            self.offer(block_migration=False), disk())

    def test_there_has_to_be_room(self) -> None:
        three = [disk(f'disk.eph{number}') for number in range(3)]

        self.check(self.offer(disk_over_commit=True), *three)
        error = self.assertRaises(
            nova_exception.MigrationPreCheckError, self.check,
            self.offer(disk_over_commit=False), *three)

        self.assertIn('12288 MiB', str(error))

    def test_what_would_stay_here_keeps_a_server_here(self) -> None:
        error = self.assertRaises(
            nova_exception.MigrationPreCheckError, self.check,
            self.offer(shared=True), refusal=exception.WrongState(
                tried='live-migrate it', instance=self.instance.uuid,
                state='using a TPM'))

        self.assertIn('using a TPM', str(error))

    def test_the_file_has_no_say_where_it_is(self) -> None:
        data = self.offer()
        data.filename = '../../etc/passwd'

        live_migration.remove_file(data)

        self.assertTrue(pathlib.Path('/etc/passwd').exists())
        self.assertFalse(
            self.check(data, disk()).is_shared_instance_path)


class CpuTest(base.BaseTestCase):

    def check(
            self, known: Any = None, cpu_mode: str | None = None, *,
            virt_type: str = 'kvm',
            **options: Any) -> list[str]:
        """Check a server that comes; return which CPUs were compared."""
        for name, value in (('virt_type', virt_type),
                            ('cpu_mode', cpu_mode)):
            CONF.set_override(name, value, 'libvirt')
            self.addCleanup(CONF.clear_override, name, 'libvirt')
        for name, value in options.items():
            CONF.set_override(name, value, 'workarounds')
            self.addCleanup(CONF.clear_override, name, 'workarounds')
        instance = types.SimpleNamespace(vcpu_model=known)
        compared: list[str] = []

        class Host:
            def check_cpu(self, cpu_xml: str, virt_type: str) -> None:
                compared.append(cpu_xml)
                if 'Diamond' in cpu_xml:
                    raise exception.LibvirtFailure(
                        tried='compare a CPU', reason='unknown CPU model',
                        code=1, domain=0)
                if 'Icelake' in cpu_xml:
                    raise exception.UnsupportedOperation(
                        tried='give a guest that CPU', reason='no avx512f')

        core: Any = Host()
        live_migration.check_cpu(core, instance, {
            'cpu_info': json.dumps({
                'arch': 'x86_64', 'model': 'Skylake-Client',
                'vendor': 'Intel', 'features': ['monitor']})})
        return compared

    def test_a_guest_gets_the_cpu_that_it_has(self) -> None:
        known = objects.VirtCPUModel(
            model='Icelake-Server', vendor='Intel', features=[
                objects.VirtCPUFeature(name='avx512f', policy='require')])

        error = self.assertRaises(
            nova_exception.MigrationPreCheckError, self.check, known)

        self.assertIn('avx512f', str(error))
        self.assertEqual([], self.check(known, skip_cpu_compare_on_dest=True))
        self.assertEqual([], self.check(known, virt_type='qemu'))

    def test_what_libvirt_does_not_know_may_be_known_elsewhere(self) -> None:
        # The conductor tries another host only for that error.
        error = self.assertRaises(
            nova_exception.MigrationPreCheckError, self.check,
            objects.VirtCPUModel(model='DiamondRapids', vendor='Intel'))

        self.assertIn('unknown CPU model', str(error))

    def test_without_one_it_is_that_of_the_host(self) -> None:
        xml, = self.check()

        self.assertIn('Skylake-Client', xml)
        self.assertNotIn('monitor', xml)
        self.assertEqual([], self.check(cpu_mode='custom'))


class DisksTest(unittest.TestCase):

    def test_only_the_image_is_looked_for_elsewhere(self) -> None:
        instance = test_translate.make_instance()
        key = image_cache.key_of(instance.image_ref)
        core: Any = Core(disk('disk', key), disk('disk.eph0', 'ephemeral_1'),
                         disk('disk.config'))
        data = objects.LibvirtLiveMigrateData(is_shared_instance_path=False)

        told = results.disks(live_migration.disk_info(
            core, instance, instance.image_ref))

        self.assertEqual(
            [migration_spec.MovedDisk(
                name=name, format='qcow2', size_bytes=4 * GIB, base=base_name)
             for name, base_name in (('disk', key), ('disk.eph0', ''))],
            live_migration.coming_disks(data, told))
        self.assertEqual([], live_migration.coming_disks(data, None))

    def test_a_name_of_another_host_is_the_name_of_a_file(self) -> None:
        data = objects.LibvirtLiveMigrateData(is_shared_instance_path=False)
        told = json.dumps([{
            'path': '/x/../../etc/disk', 'type': 'raw',
            'virt_disk_size': '7', 'backing_file': '../a/b'}])

        self.assertEqual(
            [migration_spec.MovedDisk(
                name='disk', format='raw', size_bytes=7, base='b')],
            live_migration.coming_disks(data, told))

    def test_what_is_shared_is_not_made(self) -> None:
        data = objects.LibvirtLiveMigrateData(is_shared_instance_path=True)

        self.assertIsNone(live_migration.coming_disks(data, '[]'))


class DestinationTest(base.BaseTestCase):

    def setUp(self) -> None:
        super().setUp()
        conf.register_opts(CONF)

    def data(self, **fields: Any) -> Any:
        return objects.LibvirtLiveMigrateData(
            is_shared_instance_path=False, **fields)

    def flags(self, **options: Any) -> None:
        for name, value in options.items():
            CONF.set_override(name, value, group='libvirt')
            self.addCleanup(CONF.clear_override, name, group='libvirt')

    def uris(self, **fields: Any) -> tuple[str, str]:
        found = live_migration.destination('two', self.data(**fields), '')
        return found.uri, found.migrate_uri

    def test_how_the_other_host_is_reached(self) -> None:
        self.assertEqual(('qemu+tcp://two/system', ''), self.uris())
        self.assertEqual(
            ('qemu+tcp://192.0.2.2/system', 'tcp://192.0.2.2'),
            self.uris(target_connect_addr='192.0.2.2'))
        self.assertEqual(
            ('qemu+tcp://[2001:db8::2]/system', 'tcp://[2001:db8::2]'),
            self.uris(target_connect_addr='2001:db8::2'))
        self.flags(live_migration_scheme='tls')
        self.assertEqual('qemu+tls://two/system', self.uris()[0])
        self.flags(live_migration_uri='qemu+ssh://nova@%s/system')
        self.assertEqual('qemu+ssh://nova@two/system', self.uris()[0])

    def test_a_guest_has_there_what_that_host_says(self) -> None:
        spec = specs.guest_spec('one', consoles=console_spec.ConsoleSpec(
            graphics=(console_spec.GraphicsSpec(
                kind=console_spec.GraphicsKind.VNC),)))
        told = objects.LibvirtLiveMigrateBDMInfo(
            serial=VOLUME, bus='virtio', dev='vdb', type='disk',
            format='raw', boot_index=None)
        told.connection_info = {
            'driver_volume_type': 'gpfs', 'serial': VOLUME, 'data': {
                'volume_id': VOLUME, 'device_path': '/there/volume'}}
        found = live_migration.guest_there(spec, None, self.data(
            bdms=[told], graphics_listen_addr_vnc='192.0.2.2',
            serial_listen_addr='192.0.2.3', serial_listen_ports=[10007],
            dst_cpu_shared_set_info={4, 5}))

        self.assertEqual(
            ('/there/volume', VOLUME, 'vdb'),
            (found.storage.volumes[0].source.path,
             found.storage.volumes[0].serial,
             found.storage.volumes[0].target_dev))
        self.assertEqual(
            ['192.0.2.2'], [one.listen for one in found.consoles.graphics])
        self.assertEqual({4, 5}, set(found.cpu.host_cpus))
        self.assertEqual(
            [('192.0.2.3', 10007)],
            [(one.listen, one.port) for one in found.consoles.serials])
        self.assertEqual((), found.nics)

    def test_pins_are_those_of_the_claim(self) -> None:
        numa = objects.LibvirtLiveMigrateNUMAInfo(
            cpu_pins={'0': {6}, '1': {7}}, emulator_pins={6, 7},
            cell_pins={'0': {1}}, sched_vcpus={1}, sched_priority=7)
        spec = specs.guest_spec('one', consoles=console_spec.ConsoleSpec(
            graphics=(console_spec.GraphicsSpec(
                kind=console_spec.GraphicsKind.VNC),)))

        found = live_migration.guest_there(
            spec, None, self.data(dst_numa_info=numa)).cpu

        self.assertEqual(
            {0: {6}, 1: {7}},
            {pin.vcpu: set(pin.host_cpus) for pin in found.pins})
        self.assertEqual({6, 7}, set(found.emulator_cpus))
        self.assertEqual(7, found.realtime_priority)


class StatusTest(unittest.TestCase):

    def test_only_what_was_aborted_is_cancelled(self) -> None:
        fields = {'instance': 'a', 'destination': 'b', 'reason': 'c'}

        self.assertEqual(
            [{}, {'migration_status': 'cancelled'}, {}],
            [live_migration.status_of(kind(**fields)) for kind in (
                exception.MigrationFailed, exception.MigrationCancelled,
                exception.MigrationUnclear)])

    def test_nova_hears_of_the_switch_to_post_copy(self) -> None:
        saved: list[str] = []

        class Migration(types.SimpleNamespace):
            def save(self) -> None:
                saved.append(self.status)

        migration = Migration(status='running')
        instance = types.SimpleNamespace(save=lambda: None)
        record = live_migration.Record(instance, migration)
        for is_post_copy in (False, True):
            record(migration_spec.Figures(is_post_copy=is_post_copy))
            record.end()

        self.assertEqual(['running', 'running (post-copy)'], saved)

    def test_what_makes_no_sense_is_no_reason_to_lose_the_server(
            self) -> None:
        def read() -> None:
            with live_migration.understood():
                raise NotImplementedError('no such field')

        self.assertRaises(nova_exception.MigrationError, read)

    def test_a_server_that_has_moved_stays_so_whatever_fails_here(
            self) -> None:
        with live_migration.tolerated('remove it', 'one'):
            raise OSError('the file system is gone')


class GoneTest(test_attached_volumes.VerbsTestCase):

    def test_nothing_is_left_once_nova_has_it_elsewhere(self) -> None:
        other = fake_libvirt.FakeHypervisor()
        self.hypervisor.others['qemu+tcp://two/system'] = other
        self.hypervisor.guests[0].goes_to = other.guests
        core: Any = self.driver._core
        journal = core._parts.storage.journal

        def post(*arguments: Any) -> None:
            self.driver.post_live_migration(
                self.context, self.instance, self.block_devices())
            self.driver.post_live_migration_at_source(
                self.context, self.instance, [])
            # The host that it has left must not start it before this.
            note, = journal.notes()
            self.assertIn('gone to', note.phase)
            self.instance.host = 'two'

        self.driver.live_migration(
            self.context, self.instance, 'two', post, self.fail,
            migrate_data=objects.LibvirtLiveMigrateData(
                is_shared_instance_path=True, bdms=[]))

        self.assertEqual([], journal.notes())
        self.assertEqual([], self.hypervisor.guests)


class ImageGoneTest(test_attached_volumes.VerbsTestCase):
    """Its server was created from an image."""

    def setUp(self) -> None:
        self.glance = Glance()
        super().setUp()
        self.other = fake_libvirt.FakeHypervisor()
        self.hypervisor.others['qemu+tcp://two/system'] = self.other

    def spawn(self) -> None:
        self.put('nova.image.glance.API', lambda: self.glance)
        self.instance.image_ref = IMAGE
        self.driver.spawn(
            self.context, self.instance, self.instance.image_meta, [], None,
            {}, block_device_info={})

    def migrate(self) -> tuple[str, bool]:
        """Return what the disk is said to be based on; is it copied whole?"""
        guest, = self.hypervisor.guests
        guest.goes_to = self.other.guests
        told, = json.loads(self.driver.get_instance_disk_info(self.instance))
        # From now on both hosts have to go by what was told.
        self.glance.has_image = not self.glance.has_image
        self.driver.live_migration(
            self.context, self.instance, 'two', lambda *arguments: None,
            self.fail, migrate_data=objects.LibvirtLiveMigrateData(
                is_shared_instance_path=False, bdms=[]))
        flags = guest.left_with
        whole = bool(flags & libvirt.VIR_MIGRATE_NON_SHARED_DISK)
        self.assertEqual(
            not whole, bool(flags & libvirt.VIR_MIGRATE_NON_SHARED_INC))
        return told['backing_file'], whole

    def test_a_disk_goes_without_the_image_that_the_other_can_fetch(
            self) -> None:
        self.assertEqual(
            (image_cache.key_of(IMAGE), False), self.migrate())

    def test_a_disk_goes_with_an_image_that_was_deleted(self) -> None:
        self.glance.has_image = False

        self.assertEqual(('', True), self.migrate())

    def test_while_the_image_service_is_down(self) -> None:
        self.put('nova.image.glance.API', lambda: Down())

        self.assertEqual(
            (image_cache.key_of(IMAGE), False), self.migrate())


class ArrivalTest(test_attached_volumes.VerbsTestCase):

    def arrive(self) -> None:
        self.driver.post_live_migration_at_destination(
            self.context, self.instance, [],
            block_device_info=self.block_devices())

    def test_a_server_that_runs_here_is_no_broken_one(self) -> None:
        self.hypervisor.fail_next('XMLDesc', OSError('no memory'))

        with self.assertLogs(live_migration.LOG.logger) as log:
            self.arrive()

        self.assertIn('will be retried: no memory', log.output[0])

    def test_one_that_has_not_come_is(self) -> None:
        self.hypervisor.guests.clear()

        self.assertRaises(nova_exception.InstanceNotFound, self.arrive)


class AnnouncementTest(test_attached_volumes.VerbsTestCase):

    def arrive(self, **workarounds: Any) -> list[str]:
        """Finish a migration to here; return what QEMU was told."""
        orders: list[str] = []

        def order(domain: Any, command: str, flags: int) -> str:
            orders.append(json.loads(command)['execute'])
            return '{"return": {}}'

        for name, value in workarounds.items():
            self.option(name, value, 'workarounds')
        self.put('libvirt_qemu.qemuMonitorCommand', order)
        self.driver.post_live_migration_at_destination(
            self.context, self.instance, [],
            block_device_info=self.block_devices())
        return orders

    def test_a_server_that_came_is_announced_if_that_is_wanted(
            self) -> None:
        self.assertEqual([], self.arrive())
        self.assertEqual(['announce-self'] * 2, self.arrive(
            enable_qemu_monitor_announce_self=True,
            qemu_monitor_announce_self_count=2))

    def test_a_failure_is_no_reason_to_lose_it(self) -> None:
        self.option('enable_qemu_monitor_announce_self', True, 'workarounds')

        # The fake has no monitor.
        with self.assertLogs(live_migration.LOG.logger) as log:
            self.driver.post_live_migration_at_destination(
                self.context, self.instance, [],
                block_device_info=self.block_devices())

        self.assertIn('not possible to announce it', log.output[0])
