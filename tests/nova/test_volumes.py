# SPDX-License-Identifier: Apache-2.0

"""Volumes of servers, through os-brick, and what Nova is told of them."""

import datetime
import json
import os
import pathlib
import shutil
import tempfile
import traceback
from typing import Any
import unittest
from unittest import mock

from castellan.common import exception as castellan_exception
from castellan.common.objects import passphrase
from castellan.common.objects import symmetric_key
import libvirt
from nova import config
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from os_brick import exception as brick_exception
from oslo_concurrency import processutils

from nova_libvirt_driver import driver
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import brick
from nova_libvirt_driver.nova_plugin import mounts
from nova_libvirt_driver.nova_plugin import refusals
from nova_libvirt_driver.nova_plugin import volumes
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.testing import fake_guest
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_secret
from nova_libvirt_driver.testing import fake_xml
from nova_libvirt_driver.testing import specs
from nova_libvirt_driver.volumes import connection as connection_module
from tests.nova import test_translate

CONF = config.CONF
VOLUME = '6ca404f3-d844-4169-bb96-bc792f37de98'
OTHER = '0cecc618-a007-4bb6-91f7-462293fe2ac2'
END = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
SECRET = '0f5d7c1c-5b0f-4b67-9d43-6b8b4a4b6a11'


def connection(
        kind: str = 'iscsi', volume_id: str = VOLUME,
        **data: Any) -> dict[str, Any]:
    """Return connection information as the volume service gives it."""
    return {'driver_volume_type': kind, 'serial': volume_id,
            'data': {'volume_id': volume_id, 'target_lun': 1, **data}}


class Device(dict[str, Any]):
    """Stands for a block device of Nova's, which can be saved."""

    saved = 0

    def save(self) -> None:
        self.saved += 1


def rescued(**properties: Any) -> disk_spec.RescueDevice | None:
    return volumes.rescue_device(test_translate.make_image(**properties))


def device(
        info: dict[str, Any], name: str = '/dev/vdb',
        **fields: Any) -> Device:
    return Device(connection_info=info, mount_device=name, **fields)


class FakeBrick:
    """Stands for the connectors of os-brick; a device is a file."""

    def __init__(self, folder: str) -> None:
        self.made: list[dict[str, Any]] = []
        self.calls: list[tuple[Any, Any, bool]] = []
        self.found: dict[str, Any] = {}
        self.error: Exception | None = None
        self.size: Any = 1 << 30
        self._folder = folder

    def factory(self, protocol: str, root_helper: str,
                **options: Any) -> 'FakeBrick':
        self.made.append({'protocol': protocol, **options})
        return self

    def connect_volume(self, properties: dict[str, Any]) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        path = pathlib.Path(self._folder, properties['volume_id'])
        path.touch()
        return {'path': os.fspath(path), **self.found}

    def disconnect_volume(
            self, properties: Any, device: Any, force: bool) -> None:
        self.calls.append((properties, device, force))
        if self.error is not None:
            raise self.error
        pathlib.Path(self._folder, properties['volume_id']).unlink(
            missing_ok=True)

    def extend_volume(self, properties: Any) -> Any:
        return self.size


class VolumesTestCase(unittest.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor = fake_libvirt.FakeHypervisor()
        self.devices = self.folder()
        self.brick = FakeBrick(self.devices)
        self.metadata: dict[str, Any] = {}
        self.put('libvirt.openAuth', self.hypervisor.open_auth)
        self.put('os_brick.initiator.connector.InitiatorConnector.factory',
                 self.brick.factory)
        self.put('nova.volume.cinder.API', lambda: self)
        self.option('instances_path', self.folder())
        self.context = nova_context.RequestContext('u', 'p')
        self.connector = brick.Connector(self.context)

    def folder(self) -> str:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name

    def put(self, target: str, value: Any) -> None:
        """Put something in the place of what the network or root needs."""
        patch = mock.patch(target, value)
        patch.start()
        self.addCleanup(patch.stop)

    def option(self, name: str, value: Any, *group: str) -> None:
        CONF.set_override(name, value, *group)
        self.addCleanup(CONF.clear_override, name, *group)

    def get_volume_encryption_metadata(
            self, context: Any, volume_id: str) -> dict[str, Any]:
        return self.metadata


class ConnectorTest(VolumesTestCase):

    def test_each_protocol_is_made_as_configured(self) -> None:
        for name, value in (
                ('volume_use_multipath', True), ('num_iser_scan_tries', 7),
                ('num_nvme_discover_tries', 8), ('iscsi_iface', 'iface'),
                ('num_volume_scan_tries', 9)):
            self.option(name, value, 'libvirt')
        for kind, expected in (
                ('iscsi', {'protocol': 'ISCSI', 'use_multipath': True,
                           'enforce_multipath': False,
                           'device_scan_attempts': 9,
                           'transport': 'iface'}),
                ('iser', {'protocol': 'ISER', 'use_multipath': False,
                          'enforce_multipath': False,
                          'device_scan_attempts': 7, 'transport': 'iser'}),
                ('fibre_channel', {
                    'protocol': 'FIBRE_CHANNEL', 'use_multipath': True,
                    'enforce_multipath': False, 'device_scan_attempts': 9}),
                ('nvmeof', {'protocol': 'NVME', 'use_multipath': True,
                            'enforce_multipath': False,
                            'device_scan_attempts': 8}),
                ('lightos', {'protocol': 'LIGHTOS',
                             'device_scan_attempts': 8}),
                ('scaleio', {'protocol': 'SCALEIO',
                             'device_scan_attempts': 9}),
                ('storpool', {'protocol': 'STORPOOL'})):
            with self.subTest(kind=kind):
                self.connector.connect(connection(kind))

                self.assertEqual(expected, self.brick.made[-1])

    def test_what_is_found_out_is_in_novas_own_object(self) -> None:
        self.brick.found = {'multipath_id': 'mp', 'scsi_wwn': '3600'}
        for kind, found in (('iscsi', {}),
                            ('fibre_channel', {'multipath_id': 'mp'})):
            told = connection(kind, deep={'enable_wildcard_scan': False})

            self.assertEqual('3600', self.connector.connect(told))

            self.assertEqual({
                'volume_id': VOLUME, 'target_lun': 1,
                'deep': {'enable_wildcard_scan': False},
                'device_path': os.path.join(self.devices, VOLUME), **found},
                told['data'])

    def test_fibre_channel_alone_names_its_multipath_device(self) -> None:
        for kind in ('fibre_channel', 'iscsi'):
            told = connection(kind)
            self.connector.disconnect(told, force=True)

            properties, found, force = self.brick.calls[-1]
            self.assertIs(told['data'], properties)
            self.assertEqual(
                told['data'] if kind == 'fibre_channel' else None, found)
            self.assertTrue(force)

    def test_what_fails_says_why_without_passwords(self) -> None:
        self.brick.error = OSError(
            "iscsiadm -n node.session.auth.password = 'CHAP' "
            "--password CHAP password='CHAP'")
        for call in (lambda: self.connector.connect(connection()),
                     lambda: self.connector.disconnect(
                         connection(), force=False)):
            with self.assertRaises(exception.VolumeFailure) as caught:
                call()

            self.assertIn(VOLUME, str(caught.exception))
            self.assertNotIn("password='CHAP'", str(caught.exception))

    def test_a_device_that_is_gone_is_disconnected(self) -> None:
        self.brick.error = brick_exception.VolumeDeviceNotFound(device='sdb')

        self.connector.disconnect(connection(), force=False)

    def test_a_size_that_is_not_known_is_an_error(self) -> None:
        self.assertEqual(1 << 30, self.connector.extend(connection()))
        self.brick.size = None
        self.assertRaises(exception.VolumeFailure, self.connector.extend,
                          connection())

    def test_settings_are_those_of_nova(self) -> None:
        for name, value in (
                ('rbd_user', 'nova'), ('rbd_secret_uuid', SECRET),
                ('disk_cachemodes', ['block=writeback']),
                ('hw_disk_discard', 'unmap')):
            self.option(name, value, 'libvirt')
        self.option('ephemeral_volume_secrets', True, 'nova_libvirt_driver')

        self.assertEqual(volume_spec.VolumeSettings(
            rbd_user='nova', rbd_secret_uuid=SECRET, discard='unmap',
            ephemeral_secrets=True,
            cache_modes={'block': 'writeback'}), self.connector.settings)


class EncryptionTestCase(VolumesTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.key: Any = symmetric_key.SymmetricKey('AES', 24, b'\x00\x0a\xff')
        self.metadata = {'provider': 'luks', 'encryption_key_id': SECRET,
                         'control_location': 'front-end'}
        self.put('castellan.key_manager.API', lambda conf: self)

    def get(self, context: Any, key_id: str) -> Any:
        self.assertEqual((self.context, SECRET), (context, key_id))
        return self.key


class EncryptionTest(EncryptionTestCase):

    def unlock(self, **data: Any) -> bytes | None:
        return self.connector.unlock(connection(
            'rbd', encrypted=True, **data))

    def test_the_passphrase_is_that_of_the_volume_service(self) -> None:
        self.assertEqual(b'000aff', self.unlock())

        self.metadata['provider'] = (
            'nova.volume.encryptors.luks.LuksEncryptor')
        self.key = passphrase.Passphrase(b'as it is')
        self.assertIn(self.unlock(), (b'as it is', b'as it is'.hex().encode()))

    def test_a_header_is_not_for_the_guest(self) -> None:
        self.put('nova.privsep.qemu.privileged_qemu_img_info', _qemu_img_info)
        told = connection(
            'rbd', encrypted=True, name='p/v', auth_enabled=True,
            auth_username='cinder')

        self.assertEqual(
            (4 << 20) - 4096,
            self.connector.extend_decrypted(told, 4 << 20))
        self.assertEqual(4 << 20, self.connector.extend_decrypted(
            connection('rbd'), 4 << 20))
        self.metadata = {}
        with self.assertRaises(exception.VolumeFailure):
            self.connector.extend_decrypted(told, 4 << 20)

    def test_who_may_not_read_the_key_is_told_who_may(self) -> None:
        self.put('castellan.key_manager.API', lambda conf: mock.Mock(
            get=mock.Mock(side_effect=castellan_exception.Forbidden)))

        with self.assertRaises(exception.VolumeFailure) as caught:
            self.unlock()

        self.assertIn('the key cannot be had: Forbidden', str(
            caught.exception))
        self.assertIn('let a user start', caught.exception.next_step)

    def test_what_nothing_can_decrypt(self) -> None:
        for metadata in ({}, {**self.metadata, 'provider': 'plain'}):
            self.metadata = metadata
            with self.assertRaises(exception.VolumeFailure):
                self.unlock()


def _qemu_img_info(path: str, **options: Any) -> str:
    assert path == 'rbd:p/v:id=cinder'
    return json.dumps({
        'filename': path, 'virtual-size': 1, 'format': 'luks',
        'format-specific': {'type': 'luks', 'data': {
            'payload-offset': 4096}}})


class DecryptedTest(EncryptionTestCase):
    """Volumes that the kernel decrypts, as os-brick makes it do."""

    def setUp(self) -> None:
        super().setUp()
        self.metadata['provider'] = 'luks2'
        self.root = pathlib.Path(self.folder())
        for name in ('dev/mapper', 'dev/disk/by-id', 'sys/class/block'):
            (self.root / name).mkdir(parents=True)
        for name in ('sdb', 'sdc', 'dm-0'):
            (self.root / 'dev' / name).touch()
        self.link = self.root / 'dev/disk/by-id/os-brick+dev+sdb'
        self.mapper = self.root / f'dev/mapper/crypt-{self.link.name}'
        self.opened: list[str] = []
        luks = 'os_brick.encryptors.luks.LuksEncryptor'
        self.put(f'{luks}._open_volume', self.open)
        self.put(f'{luks}._execute', self.execute)
        self.put('os_brick.privileged.rootwrap.link_root', relink)
        self.put('os_brick.initiator.connector.InitiatorConnector.factory',
                 lambda *arguments, **options: self)
        self.connector = brick.Connector(self.context, os.fspath(self.root))

    def connect_volume(self, properties: dict[str, Any]) -> dict[str, Any]:
        relink(os.fspath(self.root / 'dev/sdb'), os.fspath(self.link))
        return {'path': os.fspath(self.link)}

    def open(self, passphrase: str, **metadata: Any) -> None:
        self.assertFalse(self.mapper.is_symlink())
        self.opened.append(passphrase)
        self.decrypt('sdb')

    def decrypt(self, below: str) -> None:
        folder = self.root / 'sys/class/block/dm-0'
        (folder / 'dm').mkdir(parents=True)
        (folder / 'dm/uuid').write_text('CRYPT-LUKS2-1234-crypt\n')
        (folder / 'slaves').mkdir()
        (folder / 'slaves' / below).touch()
        self.mapper.symlink_to('../dm-0')

    def execute(self, *command: str, **options: Any) -> None:
        if command[0] == 'ln':
            relink(os.fspath(self.mapper), command[-1])
        else:
            self.assertEqual(
                ('cryptsetup', 'luksClose', self.mapper.name), command)
            self.mapper.unlink()
            shutil.rmtree(self.root / 'sys/class/block/dm-0')

    def start(self) -> None:
        """Connect the host, as at each start of a server."""
        told = connection(encrypted=True)
        self.connector.connect(told)

        self.assertIsNone(self.connector.unlock(told))

        path = pathlib.Path(told['data']['device_path'])
        self.assertEqual(self.root / 'dev/dm-0', path.resolve())

    def test_a_server_starts_a_second_time_without_a_key(self) -> None:
        self.start()
        self.metadata = {}

        self.start()

        self.assertEqual(1, len(self.opened))

    def test_what_was_another_device_is_decrypted_again(self) -> None:
        self.decrypt('sdc')

        self.start()

        self.assertEqual(1, len(self.opened))

    def test_one_whose_mapping_has_gone_is_decrypted_again(self) -> None:
        self.start()
        self.execute('cryptsetup', 'luksClose', self.mapper.name)

        self.start()

        self.assertEqual(2, len(self.opened))

    def test_the_device_itself_is_never_shown(self) -> None:
        self.put('os_brick.encryptors.luks.LuksEncryptor._execute',
                 lambda *arguments, **options: None)

        with self.assertRaisesRegex(
                exception.VolumeFailure, 'does not lead to what'):
            self.start()

    def test_a_file_is_left_where_it_is(self) -> None:
        told = connection('nfs', export='server:/x', encrypted=True,
                          device_path='/mnt/x/volume')

        with self.assertRaises(exception.VolumeFailure):
            self.connector.unlock(told)

        self.assertEqual([], self.opened)


def relink(target: str, link: str, force: bool = True) -> None:
    pathlib.Path(link).unlink(missing_ok=True)
    os.symlink(target, link)


class MountTest(VolumesTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.base = self.folder()
        self.option('nfs_mount_point_base', self.base, 'libvirt')
        self.mounted: list[Any] = []
        self.put('nova.privsep.fs.mount',
                 lambda *arguments: self.mounted.append(arguments))

    def test_what_is_not_mounted_afterwards_is_an_error(self) -> None:
        self.option('nfs_mount_options', 'vers=4', 'libvirt')
        told = connection('nfs', export='server:/x', name='volume-1',
                          options='-o nosuid')

        with self.assertRaises(exception.VolumeFailure) as caught:
            self.connector.connect(told)

        self.assertIn('not mounted', str(caught.exception))
        folder = mounts.folder_of(connection_module.read(told))
        self.assertEqual(
            [('nfs', 'server:/x', folder,
              ['-o', 'vers=4', '-o', 'nosuid'])], self.mounted)
        self.assertEqual([], os.listdir(folder))
        self.assertNotIn('device_path', told['data'])

    def test_a_mount_below_a_link_is_found(self) -> None:
        told = connection('nfs', export='server:/x', name='volume-1')
        link = os.path.join(self.folder(), 'link')
        os.symlink(self.base, link)
        self.option('nfs_mount_point_base', link, 'libvirt')
        folder = mounts.folder_of(connection_module.read(told))
        gone: list[str] = []
        for name in ('fs.umount', 'path.rmdir'):
            self.put(f'nova.privsep.{name}', gone.append)
        line = f'1 1 0:1 / {os.path.realpath(folder)} rw - nfs4 server:/x rw'

        with mock.patch('builtins.open', mock.mock_open(read_data=line)):
            self.connector.disconnect(told, force=True)

        self.assertEqual([folder, folder], gone)

    def test_passwords_of_a_mount_are_not_told(self) -> None:
        for options in ('-o username=u,password=S3cret', '-o user=u%S3cret',
                        '-o username=u,pass=S3cret,vers=3'):
            self.option('smbfs_mount_point_base', self.base, 'libvirt')
            told = connection('smbfs', export='//server/x', name='volume-1',
                              options=options)

            def fail(kind: str, export: str, folder: str,
                     arguments: list[str]) -> None:
                raise processutils.ProcessExecutionError(
                    cmd=f'mount -t {kind} {" ".join(arguments)}',
                    stderr='no S3cret')

            self.put('nova.privsep.fs.mount', fail)
            with self.subTest(options=options), self.assertRaises(
                    exception.VolumeFailure) as caught:
                self.connector.connect(told)

            shown = ''.join(traceback.format_exception(caught.exception))
            self.assertIn('mount -t cifs', shown)
            self.assertNotIn('S3cret', shown)

    def test_what_is_not_mounted_need_not_be_unmounted(self) -> None:
        self.connector.disconnect(
            connection('nfs', export='server:/x', name='volume-1'),
            force=True)


class PlaceTest(unittest.TestCase):

    def place(self, properties: dict[str, Any] | None = None,
              **fields: Any) -> volume_spec.Placement:
        instance = test_translate.make_instance()
        instance.system_metadata = {
            f'image_{name}': value
            for name, value in (properties or {}).items()}
        made, = volumes.Volumes(
            mock.Mock(spec=driver.LibvirtDriver), None, instance,
            {'block_device_mapping': [device(connection(), **fields)]}
        ).wanted
        return made.place

    def test_where_a_volume_is(self) -> None:
        cdrom = {'device_type': 'cdrom'}
        for fields, properties, expected in (
                ({}, {}, ('vdb', 'virtio', 'disk', None, '')),
                ({'disk_bus': 'sata', 'boot_index': 0}, {},
                 ('vdb', 'sata', 'disk', 1, '')),
                ({'boot_index': -1}, {'hw_disk_bus': 'scsi',
                                      'hw_scsi_model': 'virtio-scsi'},
                 ('vdb', 'scsi', 'disk', None, 'virtio-scsi')),
                ({'disk_bus': 'xen'}, {},
                 ('vdb', 'virtio', 'disk', None, '')),
                (cdrom, {}, ('vdb', 'ide', 'cdrom', None, '')),
                (cdrom, {'hw_machine_type': 'q35'},
                 ('vdb', 'sata', 'cdrom', None, '')),
                (cdrom, {'hw_cdrom_bus': 'usb'},
                 ('vdb', 'usb', 'cdrom', None, '')),
                ({'device_type': 'lun', 'disk_bus': 'scsi'}, {},
                 ('vdb', 'scsi', 'lun', None, '')),
                ({'name': None}, {}, ('', 'virtio', 'disk', None, ''))):
            with self.subTest(fields=fields, properties=properties):
                place = self.place(properties, **fields)

                self.assertEqual(expected, (
                    place.target_dev, place.bus, place.device,
                    place.boot_order, place.scsi_model))


class NameTest(unittest.TestCase):

    def test_the_root_disk_is_named_after_its_bus(self) -> None:
        for properties, found, name in (
                ({}, None, '/dev/vda'), ({'hw_disk_bus': 'scsi'}, None,
                                         '/dev/sda'),
                ({}, {'disk_bus': 'ide'}, '/dev/hda'),
                ({'hw_disk_bus': 'scsi'}, {}, '/dev/sda'),
                ({}, {'device_type': 'cdrom'}, '/dev/hda')):
            self.assertEqual(name, volumes.root_name(
                test_translate.make_image(**properties), found))


class AttachmentTest(VolumesTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.core = driver.LibvirtDriver()
        self.core.init_host('here')
        self.addCleanup(self.core.cleanup_host, 'here')
        self.instance = test_translate.make_instance(host='here')
        self.spec = specs.guest_spec('one', uuid=self.instance.uuid)

    def volumes(self, *devices: Device, **options: Any) -> volumes.Volumes:
        return volumes.Volumes(
            self.core, self.context, self.instance,
            {'block_device_mapping': devices}, **options)

    def add_guest(self, disks: str = '') -> None:
        """Let the server have a guest, with these disks."""
        guest = fake_guest.Guest(
            'one', self.instance.uuid, libvirt.VIR_DOMAIN_RUNNING,
            definition=fake_xml.minimal(
                'one', self.instance.uuid, owned=True).replace(
                    '<devices/>', f'<devices>{disks}</devices>'))
        self.hypervisor.guests.append(guest)

    def test_a_guest_is_made_with_what_is_saved(self) -> None:
        found = device(connection())

        spec = self.volumes(found).prepare(self.spec)

        disk, = spec.storage.volumes
        self.assertEqual(
            (os.path.join(self.devices, VOLUME), disk_spec.DiskBus.VIRTIO),
            (disk.source.path, disk.bus))
        self.assertEqual(disk.source.path,
                         found['connection_info']['data']['device_path'])
        self.assertEqual(1, found.saved)

    def test_the_host_is_disconnected_by_force(self) -> None:
        found = device(connection(), boot_index=0)
        self.volumes(found).prepare(self.spec)

        self.volumes(device(connection())).disconnect()

        self.assertEqual([True], [call[-1] for call in self.brick.calls])
        self.assertEqual([], os.listdir(self.devices))

    def test_what_qemu_connects_ends_with_it(self) -> None:
        self.volumes(
            device(connection('rbd')), device({})).disconnect()

        self.assertEqual([], self.brick.calls)

    def test_the_secret_of_a_volume_is_removed(self) -> None:
        kept = fake_secret.Kept(
            SECRET, VOLUME, private=False, ephemeral=False,
            usage_type=libvirt.VIR_SECRET_USAGE_TYPE_VOLUME)
        self.hypervisor.secrets.append(kept)

        self.volumes(device(connection()),
                     destroy_secrets=False).disconnect()
        self.assertEqual([kept], self.hypervisor.secrets)

        self.volumes(device(connection())).disconnect()
        self.assertEqual([], self.hypervisor.secrets)

    def test_nova_hears_of_volumes_that_are_down(self) -> None:
        self.brick.error = OSError('no path')
        found = self.volumes(
            device(connection()), device(connection(volume_id=OTHER),
                                         '/dev/vdc'), tolerant=True)
        heard: list[Any] = []
        self.add_guest()

        spec = found.prepare(self.spec)
        found.report_missing(self.core, self.instance, heard.append)

        self.assertEqual((), spec.storage.volumes)
        self.assertEqual([['/dev/vdb', '/dev/vdc']], heard)

    def test_what_nova_makes_of_it_does_no_harm(self) -> None:
        self.brick.error = OSError('no path')
        found = self.volumes(device(connection()), tolerant=True)
        found.prepare(self.spec)
        self.add_guest()

        def fail(devices: Any) -> None:
            raise NotImplementedError

        with self.assertLogs(volumes.LOG.logger, 'WARNING'):
            found.report_missing(self.core, self.instance, fail)
        found.report_missing(self.core, self.instance, None)

    def test_what_a_server_has_after_a_soft_reboot_is_not_missing(
            self) -> None:
        self.brick.error = OSError('no path')
        found = self.volumes(
            device(connection()), device(connection(volume_id=OTHER),
                                         '/dev/vdc'), tolerant=True)
        found.prepare(self.spec)
        heard: list[Any] = []
        self.add_guest(f'<disk><serial>{VOLUME}</serial></disk>')

        found.report_missing(self.core, self.instance, heard.append)

        self.assertEqual([['/dev/vdc']], heard)

    def test_a_root_volume_is_needed(self) -> None:
        self.brick.error = OSError('no path')

        with self.assertRaises(exception.VolumeFailure):
            self.volumes(device(connection(), boot_index=0),
                         tolerant=True).prepare(self.spec)


class RecordedTest(unittest.TestCase):

    def ids(self, **fields: Any) -> list[str]:
        """Return the ids of the volumes of a server."""
        hour = datetime.timedelta(hours=1)
        devices = [objects.BlockDeviceMapping(
            source_type='volume', destination_type='volume', no_device=False,
            volume_id=volume_id, connection_info=json.dumps(connection()),
            device_name='/dev/vdb', device_type='disk', disk_bus='virtio',
            boot_index=None, guest_format=None, attachment_id=None,
            volume_size=1, delete_on_termination=False, volume_type=None,
            deleted=deleted_at is not None, deleted_at=deleted_at)
            for volume_id, deleted_at in (
                ('now', None), ('at the end', END), ('before', END - hour))]
        with mock.patch.object(
                objects.BlockDeviceMappingList, 'get_by_instance_uuid',
                autospec=True, return_value=objects.BlockDeviceMappingList(
                    objects=devices)):
            found = volumes.recorded(None, test_translate.make_instance(
                root_device_name='/dev/vda', **fields))
        return [device.volume_id for device in found['block_device_mapping']]

    def test_what_was_detached_is_not_the_servers_any_more(self) -> None:
        self.assertEqual(['now'], self.ids())

    def test_a_deleted_server_has_what_it_had_at_its_end(self) -> None:
        self.assertEqual(['now', 'at the end'], self.ids(
            deleted=True, deleted_at=END + datetime.timedelta(seconds=9)))


class RefusalsTest(unittest.TestCase):

    def test_a_server_that_came_too_late_is_in_error(self) -> None:
        # Not one of those after which it would be shown as active.
        with self.assertRaises(nova_exception.MigrationError) as caught:
            refusals.Refusals(None).finish_migration(None, None, None)

        self.assertNotIsInstance(
            caught.exception, nova_exception.InstanceFaultRollback)

    def test_live_migration_is_refused_by_its_check(self) -> None:
        made = refusals.Refusals(None)
        for check in (made.check_can_live_migrate_destination,
                      made.check_can_live_migrate_source):
            self.assertRaises(
                nova_exception.MigrationPreCheckError, check, None, None)


class RescueDeviceTest(unittest.TestCase):

    def test_the_rescue_image_says_what_it_wants_to_be(self) -> None:
        for expected, properties in (
                (None, {}), (None, {'hw_disk_bus': 'scsi'}),
                ('disk virtio', {'hw_rescue_device': 'disk'}),
                ('disk usb', {'hw_rescue_bus': 'usb'}),
                ('disk scsi', {'hw_rescue_device': 'disk',
                               'hw_disk_bus': 'scsi'}),
                ('cdrom', {'hw_rescue_device': 'cdrom'}),
                ('cdrom usb', {'hw_rescue_device': 'cdrom',
                               'hw_rescue_bus': 'usb'}),
                ('cdrom scsi', {'hw_rescue_device': 'cdrom',
                                'hw_cdrom_bus': 'scsi'}),
                ('floppy', {'hw_rescue_device': 'floppy'})):
            found = rescued(**properties)
            self.assertEqual(expected, found and ' '.join(
                filter(None, (found.device, found.bus))))

    def test_what_no_image_can_be_is_refused(self) -> None:
        for kind in ('lun', 'fs'):
            self.assertRaises(nova_exception.UnsupportedRescueDevice,
                              rescued, hw_rescue_device=kind)
        for device, bus in (('disk', 'xen'), ('cdrom', 'fdc'),
                            ('floppy', 'usb')):
            self.assertRaises(
                nova_exception.UnsupportedRescueBus, rescued,
                hw_rescue_device=device, hw_rescue_bus=bus)
