# SPDX-License-Identifier: Apache-2.0

import copy
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import connection as connection_module
from nova_libvirt_driver.volumes import protocols
from tests import base

VOLUME = '6ca404f3-d844-4169-bb96-bc792f37de98'
OLD = '0cecc618-a007-4bb6-91f7-462293fe2ac2'
SECRET = '0f5d7c1c-5b0f-4b67-9d43-6b8b4a4b6a11'
PLACE = volume_spec.Placement(target_dev='vdb', bus=disk_spec.DiskBus.VIRTIO)
SETTINGS = volume_spec.VolumeSettings()
BLOCK = disk_spec.SourceKind.BLOCK
FILE = disk_spec.SourceKind.FILE


def info(protocol: str = 'iscsi', **data: typing.Any) -> dict[str, typing.Any]:
    """Return connection information; None leaves a key out."""
    found = {'device_path': '/dev/sdb', 'volume_id': VOLUME, **data}
    return {
        'driver_volume_type': protocol, 'serial': VOLUME,
        'data': {name: value for name, value in found.items()
                 if value is not None}}


def made(
        told: dict[str, typing.Any],
        settings: volume_spec.VolumeSettings = SETTINGS,
        **more: typing.Any) -> disk_spec.DiskSpec:
    return protocols.disk(
        connection_module.read(told), PLACE, settings, **more)


def rbd(**data: typing.Any) -> dict[str, typing.Any]:
    return info('rbd', **{
        'device_path': None, 'name': 'volumes/volume-1',
        'hosts': ['192.0.2.1', '192.0.2.2', '[2001:db8::3]'],
        'ports': ['6789'], **data})


class ProtocolTest(base.TestCase):

    def test_what_each_protocol_is_to_the_guest(self) -> None:
        for protocol, kind, io, cache in (
                ('iscsi', BLOCK, 'native', 'none'),
                ('iser', BLOCK, 'native', 'none'),
                ('fibre_channel', BLOCK, 'native', 'none'),
                ('scaleio', BLOCK, 'native', 'none'),
                ('storpool', BLOCK, 'native', 'none'),
                ('nvmeof', BLOCK, '', 'none'),
                ('lightos', BLOCK, '', 'none'),
                ('local', BLOCK, '', 'none'),
                ('nfs', FILE, 'native', 'none'),
                ('quobyte', FILE, 'native', 'none'),
                ('smbfs', FILE, '', 'writeback'),
                ('vzstorage', FILE, '', 'writeback'),
                ('gpfs', FILE, '', 'none')):
            with self.subTest(protocol=protocol):
                found = made(info(protocol))

                self.assertEqual(
                    (kind, '/dev/sdb', io, cache, 'raw', VOLUME),
                    (found.source.kind, found.source.path, found.io,
                     found.cache, found.format, found.serial))

    def test_every_protocol_can_be_had(self) -> None:
        for protocol in protocols.PROTOCOLS:
            found = made(info(
                protocol, name='x', hosts=['192.0.2.1'], ports=['80']))

            self.assertEqual('vdb', found.target_dev)

    def test_one_that_nobody_knows(self) -> None:
        error = self.assertRaises(
            exception.VolumeFailure, made, info('dust'))

        self.assertIn(VOLUME, str(error))
        self.assertIn("'dust'", str(error))

    def test_what_is_missing_is_named(self) -> None:
        for told, missing in (
                (info(device_path=None), 'device_path'),
                (info('rbd', hosts=['192.0.2.1']), 'name'),
                (rbd(hosts=None), 'hosts'), (rbd(hosts=[]), 'hosts'),
                (info('nbd'), 'hosts'),
                (info('http', hosts=['192.0.2.1']), 'name'),
                ({'serial': VOLUME}, 'has not said'),
                ({'driver_volume_type': 'rbd', 'volume_id': VOLUME},
                 'has not said')):
            error = self.assertRaises(exception.VolumeFailure, made, told)

            self.assertIn(missing, str(error))
            self.assertIn(VOLUME, str(error))

    def test_the_format_of_a_file_is_what_the_service_says(self) -> None:
        self.assertEqual('qcow2', made(info('nfs', format='qcow2')).format)
        for format in ('../raw', 7):
            self.assertRaises(
                exception.VolumeFailure, made, info('nfs', format=format))

    def test_a_web_server_is_for_reading(self) -> None:
        found = made(info('https', name='disk.iso', hosts=['192.0.2.1']))

        self.assertTrue(found.readonly)
        self.assertEqual('https', found.source.protocol)

    def test_an_export_is_on_a_socket_or_a_server(self) -> None:
        for data, host in (
                ({'socket': '/run/nbd'}, disk_spec.NetworkHost(
                    socket='/run/nbd')),
                ({'hosts': ['192.0.2.1'], 'ports': [10809]},
                 disk_spec.NetworkHost(name='192.0.2.1', port=10809))):
            found = made(info('nbd', name='export', **data)).source

            self.assertEqual(((host,), 'export', 'nbd'), (
                found.hosts, found.path, found.protocol))


class CephTest(base.TestCase):

    def test_every_monitor_has_a_port(self) -> None:
        for ports, expected in (
                (['6789'], (6789, 6789, 6789)),
                (['6789', '3300'], (6789, 3300, 3300)),
                ([1, 2, 3, 4], (1, 2, 3)), ([], (None, None, None)),
                (None, (None, None, None))):
            hosts = made(rbd(ports=ports)).source.hosts

            self.assertEqual(expected, tuple(host.port for host in hosts))
            self.assertEqual(
                ['192.0.2.1', '192.0.2.2', '2001:db8::3'],
                [host.name for host in hosts])

    def test_a_port_that_is_none(self) -> None:
        for port in ('0', '65536', 'a', '-1', '6789;'):
            self.assertRaises(
                exception.VolumeFailure, made, rbd(ports=[port]))

    def test_user_and_secret_come_from_one_place(self) -> None:
        for auth in (True, False):
            for theirs in (SECRET, None):
                for ours in (OLD, ''):
                    settings = volume_spec.VolumeSettings(
                        rbd_user='nova', rbd_secret_uuid=ours)
                    told = rbd(auth_enabled=auth, auth_username='cinder',
                               secret_uuid=theirs, secret_type='ceph')
                    with self.subTest(auth=auth, theirs=theirs, ours=ours):
                        if auth and theirs:
                            expected = ('cinder', SECRET, 'ceph')
                        elif ours:
                            expected = ('nova', OLD, 'ceph')
                        elif auth:
                            self.assertRaises(
                                exception.VolumeFailure, made, told, settings)
                            continue
                        else:
                            expected = ('', '', '')

                        source = made(told, settings).source

                        self.assertEqual(expected, (
                            source.auth_username, source.auth_secret_uuid,
                            source.auth_secret_type))


class DiskTest(base.TestCase):

    def test_what_is_asked_of_the_disk(self) -> None:
        found = made(
            info(access_mode='ro', discard=True, logical_block_size='4096',
                 physical_block_size=4096, qos_specs={
                     'total_bytes_sec': '1048576', 'read_iops_sec_max': 500,
                     'size_iops_sec': '8', 'write_iops_sec': '0',
                     'of another': 'x'}), secret_uuid=SECRET)

        self.assertEqual(disk_spec.DiskSpec(
            target_dev='vdb', bus=disk_spec.DiskBus.VIRTIO, format='raw',
            source=disk_spec.DiskSource(kind=BLOCK, path='/dev/sdb'),
            cache='none', io='native', discard='unmap',
            id=VOLUME, serial=VOLUME,
            readonly=True, logical_block_bytes=4096,
            physical_block_bytes=4096, iotune=disk_spec.IoTune(
                total_bytes_s=1 << 20, read_iops_max=500, size_iops=8),
            encryption=disk_spec.DiskEncryption(secret_uuid=SECRET)), found)

    def test_a_volume_of_several_guests_is_not_cached(self) -> None:
        found = made(
            {**info(), 'multiattach': True}, volume_spec.VolumeSettings(
                cache_modes={'block': 'writeback'}))

        self.assertEqual((True, 'none'), (found.shareable, found.cache))

    def test_native_needs_direct_access(self) -> None:
        for protocol, mode, io in (
                ('iscsi', 'none', 'native'),
                ('iscsi', 'directsync', 'native'),
                ('iscsi', 'writeback', 'threads'),
                ('iscsi', 'unsafe', 'threads'),
                ('nvmeof', 'writeback', '')):
            found = made(info(protocol), volume_spec.VolumeSettings(
                cache_modes={'block': mode}))

            self.assertEqual((mode, io), (found.cache, found.io))

    def test_the_choice_is_left_to_qemu_if_so_configured(self) -> None:
        settings = volume_spec.VolumeSettings(default_aio=True)
        for protocol, io in (('iscsi', ''), ('nfs', ''),
                             ('scaleio', 'native'), ('quobyte', 'native')):
            self.assertEqual(io, made(info(protocol), settings).io)

    def test_what_the_host_discards_is_not_for_volumes(self) -> None:
        settings = volume_spec.VolumeSettings(discard='unmap')
        for told, expected in ((True, 'unmap'), (False, 'ignore')):
            self.assertEqual(
                expected, made(info(discard=told), settings).discard)

    def test_the_guest_goes_on_seeing_the_first_serial(self) -> None:
        told = {**info(), 'serial': OLD}

        self.assertEqual(OLD, made(told).serial)
        self.assertEqual(VOLUME, connection_module.read(told).volume_id)

    def test_values_that_make_no_sense(self) -> None:
        for data in ({'access_mode': 'wo'}, {'logical_block_size': 'x'},
                     {'logical_block_size': -512},
                     {'qos_specs': {'total_iops_sec': 'fast'}}):
            error = self.assertRaises(
                exception.VolumeFailure, made, info(**data))

            self.assertIn(VOLUME, str(error))

    def test_what_was_told_stays_as_it_is_and_secret(self) -> None:
        told = info(auth_password='CHAP-SECRET', deep={'key': ['x']})
        before = copy.deepcopy(told)

        connection = connection_module.read(told)
        found = protocols.disk(connection, PLACE, SETTINGS)
        volume = volume_spec.Volume(info=told, place=PLACE)

        self.assertEqual(before, told)
        for shown in (connection, found, volume,
                      connection.failure('it is gone')):
            self.assertNotIn('CHAP-SECRET', repr(shown))
