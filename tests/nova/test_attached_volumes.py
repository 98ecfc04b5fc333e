# SPDX-License-Identifier: Apache-2.0

"""Volumes that a server gets, loses or sees growing while it is there."""

import contextlib
import copy
import json
import os
import pathlib
from typing import Any
from unittest import mock

from nova import exception as nova_exception
from nova.network import model as network_model
from nova import objects

import nova.conf
from nova_libvirt_driver.nova_plugin import driver
from nova_libvirt_driver.testing import fake_devices
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from tests.nova import test_translate
from tests.nova import volumes_rig as rig

VOLUME, OTHER = rig.VOLUME, rig.OTHER
SWAPPED = 'c5a801c0-39ec-407d-ba71-5980e0c3fba1'
THIRD = '212fc44e-b6b4-469d-bf6f-94ea155b190a'
GIB = 1 << 30


class VerbsTestCase(rig.VolumesTestCase):
    """Has a server that boots from a volume."""

    def setUp(self) -> None:
        super().setUp()
        for name in ('device_detach_attempts', 'device_detach_timeout'):
            self.option(name, 1, 'libvirt')
        self.option('host', 'here')
        # There is no database.
        for name in ('InstanceList.get_by_host',
                     'VirtualInterfaceList.get_by_instance_uuid',
                     'BlockDeviceMappingList.get_by_instance_uuid'):
            self.put(f'nova.objects.{name}',
                     lambda *arguments, **options: [])
        self.instance = test_translate.make_instance(
            host='here', deleted=False, image_ref='', device_metadata=None,
            root_device_name='/dev/vda', config_drive='', trusted_certs=None,
            info_cache=objects.InstanceInfoCache(
                network_info=network_model.NetworkInfo()))
        self.put('nova.objects.Instance.save', lambda *arguments: None)
        self.put('nova.objects.Instance.get_by_uuid',
                 lambda *arguments, **options: self.instance)
        self.driver = self.make_driver()
        self.root = self.info(OTHER)
        self.spawn()

    def make_driver(self) -> driver.NovaLibvirtDriver:
        made = driver.NovaLibvirtDriver(None)
        made.init_host('here')
        self.addCleanup(made.cleanup_host, 'here')
        return made

    def info(self, volume_id: str = VOLUME, **data: Any) -> dict[str, Any]:
        return rig.connection(volume_id=volume_id, **data)

    def block_devices(self) -> dict[str, Any]:
        return {'root_device_name': '/dev/vda', 'block_device_mapping': [
            rig.device(self.root, '/dev/vda', boot_index=0)]}

    def spawn(self) -> None:
        self.driver.spawn(
            self.context, self.instance, self.instance.image_meta, [], None,
            {}, block_device_info=self.block_devices())

    def attach(self, info: dict[str, Any], name: str = '/dev/vdb',
               **options: Any) -> None:
        self.driver.attach_volume(
            self.context, info, self.instance, name, **options)

    def detach(self, info: dict[str, Any], name: str = '/dev/vdb') -> None:
        self.driver.detach_volume(self.context, info, self.instance, name)

    def connected(self) -> list[str]:
        return sorted(os.listdir(self.devices))

    def xml(self) -> str:
        guest, = self.hypervisor.guests
        return guest.xml(inactive=True)


class VerbsTest(VerbsTestCase):

    def test_a_volume_comes_and_goes(self) -> None:
        told = self.info(qos_specs={'read_iops_sec': '7'}, discard=True)

        self.attach({**told, 'multiattach': True}, disk_bus='virtio')

        self.assertEqual([OTHER, VOLUME], self.connected())
        path = os.path.join(self.devices, VOLUME)
        # Nova writes it down when the volume is attached.
        self.assertEqual(path, told['data']['device_path'])
        for said in ('<target dev="vdb" bus="virtio"/>', path, '<shareable/>',
                     f'<serial>{VOLUME}</serial>', f'ua-{VOLUME}',
                     '<read_iops_sec>7<', 'discard="unmap"'):
            self.assertIn(said, self.xml())
        # What was found out is not needed.
        self.detach(self.info())
        self.assertEqual([OTHER], self.connected())
        self.assertNotIn(VOLUME, self.xml())
        self.assertEqual([False], [call[-1] for call in self.brick.calls])

    def test_os_brick_is_told_all_that_the_volume_service_says(self) -> None:
        told = self.info(
            enable_wildcard_scan=False, auth_password='CHAP',
            deep={'er': [{'ids': [['a', 1], None], 'secret': 's'}]})
        guest, = self.hypervisor.guests
        self.brick.told.clear()

        self.attach(copy.deepcopy(told))
        guest.sizes['vdb'] = GIB
        self.driver.extend_volume(
            self.context, copy.deepcopy(told), self.instance, GIB)
        self.detach(copy.deepcopy(told))

        self.assertEqual([told['data']] * 3, [
            {name: value for name, value in data.items()
             if name != 'device_path'} for data in self.brick.told])

    def test_a_server_that_nova_has_elsewhere(self) -> None:
        # Nova asks for it when a live migration has failed.
        self.attach(self.info())
        self.instance.host = 'there'

        with self.assertRaises(nova_exception.NovaException):
            self.detach(self.info())

        self.assertEqual([OTHER, VOLUME], self.connected())
        self.assertIn(VOLUME, self.xml())

    def test_what_fails_leaves_nothing(self) -> None:
        self.brick.error = OSError('no path')

        with self.assertRaises(nova_exception.NovaException) as caught:
            self.attach(self.info())

        self.assertNotIn('no path', str(caught.exception))
        self.assertEqual([OTHER], self.connected())
        self.assertNotIn(VOLUME, self.xml())

    def test_a_guest_that_keeps_it(self) -> None:
        self.attach(self.info())
        guest, = self.hypervisor.guests
        guest.hotplug.unplug = fake_devices.Unplug.IGNORE

        with self.assertRaises(nova_exception.DeviceDetachFailed):
            self.detach(self.info())

        self.assertEqual([OTHER, VOLUME], self.connected())

    def test_a_host_that_keeps_it(self) -> None:
        self.attach(self.info())
        self.brick.error = OSError('busy')

        with self.assertRaises(nova_exception.NovaException):
            self.detach(self.info())
        self.brick.error = None
        self.detach(self.info())

        self.assertEqual([OTHER], self.connected())

    def test_the_volume_of_a_server_that_is_gone(self) -> None:
        self.attach(self.info())
        self.driver.destroy(self.context, self.instance, [])

        self.detach(self.info())

        self.assertEqual([OTHER], self.connected())

    def test_a_volume_that_was_swapped(self) -> None:
        # Its disk has the number of the volume that was there before.
        told = rig.connection(
            'rbd', name='p/new', hosts=['192.0.2.1'], ports=['6789'])
        self.attach({**told, 'serial': SWAPPED, 'data': {
            **told['data'], 'volume_id': SWAPPED}})
        self.attach(rig.connection(
            'rbd', volume_id=THIRD, name='p/third', hosts=['192.0.2.1'],
            ports=['6789']), '/dev/vdc')

        self.driver.extend_volume(self.context, told, self.instance, GIB)
        self.detach({**told, 'data': {**told['data'], 'name': 'p/other'}})
        self.detach(told, '/dev/vdc')
        self.assertIn(SWAPPED, self.xml())
        self.detach(told)

        self.assertNotIn(SWAPPED, self.xml())
        self.assertIn(THIRD, self.xml())

    def test_a_larger_volume(self) -> None:
        told = self.info()
        self.attach(told)
        guest, = self.hypervisor.guests
        guest.sizes['vdb'] = GIB
        self.brick.size = 2 * GIB

        self.driver.extend_volume(
            self.context, json.loads(json.dumps(told)), self.instance,
            2 * GIB)

        self.assertEqual(2 * GIB, guest.sizes['vdb'])
        for info in (told, self.info(THIRD)):
            with self.assertRaises(nova_exception.VolumeExtendFailed):
                self.driver.extend_volume(
                    self.context, info, self.instance, 3 * GIB)
        self.assertEqual(2 * GIB, guest.sizes['vdb'])

    def test_a_larger_volume_that_qemu_gets_at_by_itself(self) -> None:
        told = rig.connection(
            'rbd', name='p/v', hosts=['192.0.2.1'], ports=['6789'])
        self.attach(told)
        guest, = self.hypervisor.guests
        guest.sizes['vdb'] = GIB

        self.driver.extend_volume(
            self.context, told, self.instance, 2 * GIB)

        self.assertEqual(2 * GIB, guest.sizes['vdb'])
        self.assertEqual(['ISCSI'], sorted({
            made['protocol'] for made in self.brick.made}))


class PortTest(VerbsTestCase):
    """Ports of a server that runs."""

    def setUp(self) -> None:
        super().setUp()
        plug = mock.patch('os_vif.plug', autospec=True)
        self.plugged = plug.start()
        self.addCleanup(plug.stop)
        self.put('os_vif.unplug', lambda vif, instance: None)
        self.vif = test_translate.make_vif('ovs', details={'vlan': '7'})
        self.instance.info_cache.network_info = network_model.NetworkInfo(
            [self.vif])
        self.instance.vm_state = 'active'
        self.driver.attach_interface(
            self.context, self.instance, self.instance.image_meta, self.vif)

    def test_one_that_runs_keeps_the_mtu_that_it_has(self) -> None:
        larger = test_translate.make_vif('ovs')
        larger['network']['meta']['mtu'] = 9000

        self.driver.plug_vifs(self.instance, [larger])

        self.assertEqual(1442, self.plugged.call_args.args[0].network.mtu)
        self.assertEqual(9000, larger['network'].get_meta('mtu'))
        self.driver.power_off(self.instance)
        self.driver.plug_vifs(self.instance, [larger])
        self.assertEqual(9000, self.plugged.call_args.args[0].network.mtu)

    def test_a_server_does_not_read_of_what_it_has_lost(self) -> None:
        self.assertEqual([self.vif['address']], [
            one.mac for one in self.instance.device_metadata.devices])

        self.driver.detach_interface(self.context, self.instance, self.vif)

        # Nova looks into it for disks.
        self.assertEqual([], self.instance.device_metadata.devices)


class ElsewhereTest(VerbsTestCase):
    """What Nova says of a volume is how another host has it."""

    def setUp(self) -> None:
        super().setUp()
        self.attach(self.info())

    def told(self) -> dict[str, Any]:
        return self.info(target_lun=7, device_path='/dev/other')

    def disconnected(self) -> list[tuple[str, int]]:
        """Return volumes, with the numbers by which they were found."""
        return sorted((properties['volume_id'], properties['target_lun'])
                      for properties, *_ in self.brick.calls)

    def test_its_own_connections_end(self) -> None:
        for verb in ('destroy', 'cleanup'):
            with self.subTest(verb=verb):
                self.brick.calls.clear()
                devices = self.block_devices()
                devices['block_device_mapping'].append(
                    rig.device(self.told()))

                getattr(self.driver, verb)(
                    self.context, self.instance, [], devices)

                self.assertEqual([], self.connected())
                self.assertEqual(
                    [(OTHER, 1), (VOLUME, 1)], self.disconnected())
                self.spawn()
                self.attach(self.info())

    def test_an_evacuated_server_of_another_driver(self) -> None:
        for path in pathlib.Path(
                nova.conf.CONF.instances_path).glob('.volumes/*/*.json'):
            path.unlink()
        self.instance.host = 'there'
        devices = {'block_device_mapping': [rig.device(self.told())]}

        self.driver.destroy(self.context, self.instance, [], devices)

        self.assertEqual([], self.hypervisor.guests)
        self.assertEqual([], self.disconnected())

    def test_a_volume_is_detached_as_it_was_attached(self) -> None:
        self.detach(self.told())

        self.assertEqual([(VOLUME, 1)], self.disconnected())

    def test_a_server_that_did_not_come(self) -> None:
        self.driver.destroy(self.context, self.instance, [])
        self.instance.host = 'there'

        # Only the first time there is anything to end.
        for _ in range(2):
            self.driver.rollback_live_migration_at_destination(
                self.context, self.instance, [], {'block_device_mapping': [
                    rig.device(self.told())]})
            self.detach(self.told())

        self.assertEqual([OTHER], self.connected())
        self.assertEqual([(VOLUME, 1)], self.disconnected())

    def test_what_was_interrupted(self) -> None:
        self.driver.destroy(self.context, self.instance, [])
        self.put('nova.objects.BlockDeviceMappingList.get_by_instance_uuid',
                 lambda *arguments: objects.BlockDeviceMappingList(
                     objects=[self.recorded()]))
        core: Any = self.driver._core
        journal = core._parts.storage.journal
        for host, calls in (('there', [(VOLUME, 1)]), ('here', [
                (VOLUME, 1), (VOLUME, 7)])):
            with self.subTest(host=host):
                self.instance.host = host
                for _ in range(2):
                    journal.begin(
                        'spawn', uuid=self.instance.uuid,
                        name=self.instance.name,
                        attachments=['volumes']).release()
                    # Whichever comes first: this, or what looks for it.
                    with contextlib.suppress(nova_exception.NovaException):
                        self.driver.power_off(self.instance)
                    self.assertEqual([], journal.notes())

                self.assertEqual(calls, sorted(set(self.disconnected())))

    def recorded(self) -> Any:
        return objects.BlockDeviceMapping(
            source_type='volume', destination_type='volume',
            no_device=False, volume_id=VOLUME, deleted=False,
            connection_info=json.dumps(self.told()), boot_index=None,
            device_name='/dev/vdb', device_type='disk', disk_bus='virtio',
            guest_format=None, attachment_id=None, volume_size=1,
            delete_on_termination=False, volume_type=None)


class GoneTest(VerbsTestCase):

    def test_a_server_that_has_moved_waits_for_novas_record(self) -> None:
        core: Any = self.driver._core
        journal = core._parts.storage.journal
        guest, = self.hypervisor.guests
        self.hypervisor.remove_guest(guest)
        uri = 'qemu+tcp://two/system'
        self.hypervisor.others[uri] = fake_libvirt.FakeHypervisor()
        self.hypervisor.others[uri].guests.append(guest)
        self.instance.host = 'here'
        journal.begin(
            'live-migrate', uuid=self.instance.uuid, is_shared=True,
            name=self.instance.name, uri=uri,
            was_paused=False, attachments=[]).leave_open('moved', 0.0)

        with self.assertRaises(nova_exception.NovaException):
            self.driver.reboot(self.context, self.instance, [], 'HARD')
        with self.assertRaises(nova_exception.NovaException):
            self.start()
        with self.assertRaises(nova_exception.NovaException):
            self.spawn()

        self.assertEqual([], self.hypervisor.guests)
        self.instance.host = 'there'
        self.start()
        self.assertEqual(1, len(self.hypervisor.guests))
        self.assertEqual([], journal.notes())

    def start(self) -> None:
        self.driver.power_on(
            self.context, self.instance, [], self.block_devices())


class RebuildTest(VerbsTestCase):
    """What the compute manager does when a server is rebuilt."""

    def test_volumes_are_let_go_and_come_back(self) -> None:
        data = self.info()
        self.attach(data)
        devices = self.block_devices()
        devices['block_device_mapping'].append(
            rig.device(data, '/dev/vdb'))

        self.driver.power_off(self.instance)
        for info, name in ((self.root, '/dev/vda'), (data, '/dev/vdb')):
            self.detach(info, name)
        self.assertEqual([], self.connected())
        self.driver.destroy(self.context, self.instance, [],
                            block_device_info=devices)
        self.driver.spawn(
            self.context, self.instance, self.instance.image_meta, [], None,
            {}, block_device_info=devices)

        self.assertEqual([OTHER, VOLUME], self.connected())
        for volume_id in (OTHER, VOLUME):
            self.assertIn(f'<serial>{volume_id}</serial>', self.xml())

    def test_a_root_volume_gets_another_image(self) -> None:
        self.driver.power_off(self.instance)
        self.driver.destroy(self.context, self.instance, [],
                            block_device_info=self.block_devices())

        # Once more, before the volume service writes the image to it.
        self.detach(self.root, '/dev/vda')
        self.assertEqual([], self.connected())
        self.spawn()

        self.assertEqual([OTHER], self.connected())


class NameTest(VerbsTestCase):

    def name(self, *taken: str, **fields: Any) -> str:
        given = {'device_name': '/dev/vdz', 'disk_bus': None,
                 'device_type': None, **fields}
        return self.driver.get_device_name_for_instance(
            self.instance, objects.BlockDeviceMappingList(objects=[
                objects.BlockDeviceMapping(device_name=name)
                for name in taken]), objects.BlockDeviceMapping(**given))

    def test_the_next_name_that_no_disk_has(self) -> None:
        # The root disk is in the guest, and Nova knows of another one.
        for expected, taken, fields in (
                ('/dev/vdb', (), {}), ('/dev/vdc', ('/dev/vdb',), {}),
                ('/dev/sda', ('/dev/vdb',), {'disk_bus': 'scsi'}),
                ('/dev/hda', (), {'device_type': 'cdrom'})):
            with self.subTest(expected=expected):
                self.assertEqual(expected, self.name(*taken, **fields))

    def test_what_a_server_is_built_with_is_written_down(self) -> None:
        self.put('nova.objects.BlockDeviceMapping.save', lambda device: None)
        self.instance.system_metadata = {'image_hw_disk_bus': 'sata'}
        devices = [objects.BlockDeviceMapping(**{
            'source_type': 'volume', 'destination_type': 'volume',
            'boot_index': -1, 'device_name': '/dev/xvdz', 'disk_bus': None,
            'device_type': None, **fields}) for fields in (
                {'boot_index': 0}, {'source_type': 'blank',
                                    'destination_type': 'local'},
                {}, {'disk_bus': 'virtio'}, {'device_type': 'cdrom'},
                {'source_type': 'image', 'destination_type': 'local'})]

        self.driver.default_device_names_for_instance(
            self.instance, '/dev/sda', devices[:2], devices[2:])

        self.assertEqual(
            [('/dev/sda', 'sata', 'disk'), ('/dev/sdb', 'sata', 'disk'),
             ('/dev/sdc', 'sata', 'disk'), ('/dev/vda', 'virtio', 'disk'),
             ('/dev/hda', 'ide', 'cdrom'), ('/dev/xvdz', None, None)],
            [(device.device_name, device.disk_bus, device.device_type)
             for device in devices])

    def test_a_volume_of_an_iso_image_is_a_cd(self) -> None:
        self.put('nova.objects.BlockDeviceMapping.save', lambda device: None)
        self.instance.system_metadata = {'image_disk_format': 'iso'}
        for asked, wanted in (({}, ('/dev/hda', 'ide', 'cdrom')),
                              ({'disk_bus': 'virtio', 'device_type': 'disk'},
                               ('/dev/hda', 'ide', 'cdrom')),
                              ({'boot_index': 1},
                               ('/dev/vda', 'virtio', 'disk'))):
            device = objects.BlockDeviceMapping(**{
                'source_type': 'image', 'destination_type': 'volume',
                'boot_index': 0, 'device_name': None, 'disk_bus': None,
                'device_type': None, **asked})

            root = self.driver.default_root_device_name(
                self.instance, self.instance.image_meta, device)
            self.driver.default_device_names_for_instance(
                self.instance, root, [device])

            self.assertEqual('/dev/hda', root)
            self.assertEqual(wanted, (
                device.device_name, device.disk_bus, device.device_type))

    def test_there_are_not_more_than_there_may_be(self) -> None:
        self.option('max_disk_devices_to_attach', 2, 'compute')

        self.assertEqual('/dev/vdb', self.name())
        with self.assertRaises(nova_exception.TooManyDiskDevices):
            self.name('/dev/vdb')


class InterruptedTest(VerbsTestCase):

    def test_a_volume_that_leaves_later_is_disconnected(self) -> None:
        self.attach(self.info())
        guest, = self.hypervisor.guests
        guest.hotplug.unplug = fake_devices.Unplug.IGNORE
        with self.assertRaises(nova_exception.DeviceDetachFailed):
            self.detach(self.info())

        self.hypervisor.complete_unplugs(guest)

        fake_ports.wait_until(
            lambda: self.connected() == [OTHER], 'the disconnection')
        self.assertEqual([False], [call[-1] for call in self.brick.calls])
