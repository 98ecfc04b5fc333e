# SPDX-License-Identifier: Apache-2.0

"""Connects the host to volumes, through os-brick and mounts."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import traceback
from typing import Any
import unittest
from unittest import mock

from castellan.common import exception as castellan_exception
from castellan.common.objects import passphrase
from castellan.common.objects import symmetric_key
import os_brick
from os_brick import exception as brick_exception
from oslo_concurrency import processutils

from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import brick
from nova_libvirt_driver.nova_plugin import mounts
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import connection as connection_module
from tests.nova import environments
from tests.nova import volumes_rig as rig


class ConnectorTest(rig.VolumesTestCase):

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
                self.connector.connect(rig.connection(kind))

                self.assertEqual(expected, self.brick.made[-1])

    def test_what_is_found_out_is_in_novas_own_object(self) -> None:
        self.brick.found = {'multipath_id': 'mp', 'scsi_wwn': '3600'}
        for kind, found in (('iscsi', {}),
                            ('fibre_channel', {'multipath_id': 'mp'})):
            told = rig.connection(kind, deep={'enable_wildcard_scan': False})

            self.assertEqual('3600', self.connector.connect(told))

            self.assertEqual({
                'volume_id': rig.VOLUME, 'target_lun': 1,
                'deep': {'enable_wildcard_scan': False},
                'device_path': os.path.join(self.devices, rig.VOLUME),
                **found}, told['data'])

    def test_fibre_channel_alone_names_its_multipath_device(self) -> None:
        for kind in ('fibre_channel', 'iscsi'):
            told = rig.connection(kind)
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
        for call in (lambda: self.connector.connect(rig.connection()),
                     lambda: self.connector.disconnect(
                         rig.connection(), force=False)):
            with self.assertRaises(exception.VolumeFailure) as caught:
                call()

            self.assertIn(rig.VOLUME, str(caught.exception))
            self.assertNotIn("password='CHAP'", str(caught.exception))

    def test_a_device_that_is_gone_is_disconnected(self) -> None:
        self.brick.error = brick_exception.VolumeDeviceNotFound(device='sdb')

        self.connector.disconnect(rig.connection(), force=False)

    def test_a_size_that_is_not_known_is_an_error(self) -> None:
        self.assertEqual(1 << 30, self.connector.extend(rig.connection()))
        self.brick.size = None
        self.assertRaises(exception.VolumeFailure, self.connector.extend,
                          rig.connection())

    def test_settings_are_those_of_nova(self) -> None:
        for name, value in (
                ('rbd_user', 'nova'), ('rbd_secret_uuid', rig.SECRET),
                ('disk_cachemodes', ['block=writeback']),
                ('hw_disk_discard', 'unmap')):
            self.option(name, value, 'libvirt')
        self.option('ephemeral_volume_secrets', True, 'nova_libvirt_driver')

        self.assertEqual(volume_spec.VolumeSettings(
            rbd_user='nova', rbd_secret_uuid=rig.SECRET, discard='unmap',
            ephemeral_secrets=True,
            cache_modes={'block': 'writeback'}), self.connector.settings)


class LockTest(unittest.TestCase):

    def test_without_a_folder_of_locks_nothing_is_connected(self) -> None:
        # Other services of the host use the same initiator.
        os_brick.setup(rig.CONF)
        for group in ('os_brick', 'oslo_concurrency'):
            rig.CONF.set_override('lock_path', None, group)
            self.addCleanup(rig.CONF.clear_override, 'lock_path', group)

        for call in (
                lambda: brick.Connector(None).connect(rig.connection()),
                lambda: brick.Connector(None).disconnect(
                    rig.connection(), force=False)):
            with self.assertRaisesRegex(
                    exception.VolumeFailure, 'lock_path'):
                call()


class EncryptionTestCase(rig.VolumesTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.key: Any = symmetric_key.SymmetricKey('AES', 24, b'\x00\x0a\xff')
        self.metadata = {'provider': 'luks', 'encryption_key_id': rig.SECRET,
                         'control_location': 'front-end'}
        self.put('castellan.key_manager.API', lambda conf: self)

    def get(self, context: Any, key_id: str) -> Any:
        self.assertEqual((self.context, rig.SECRET), (context, key_id))
        return self.key


class EncryptionTest(EncryptionTestCase):

    def unlock(self, **data: Any) -> bytes | None:
        return self.connector.unlock(rig.connection(
            'rbd', encrypted=True, **data))

    def test_the_passphrase_is_that_of_the_volume_service(self) -> None:
        self.assertEqual(b'000aff', self.unlock())

        self.metadata['provider'] = (
            'nova.volume.encryptors.luks.LuksEncryptor')
        self.key = passphrase.Passphrase(b'as it is')
        self.assertIn(self.unlock(), (b'as it is', b'as it is'.hex().encode()))

    def test_a_header_is_not_for_the_guest(self) -> None:
        self.put('nova.privsep.qemu.privileged_qemu_img_info', _qemu_img_info)
        told = rig.connection(
            'rbd', encrypted=True, name='p/v', hosts=['192.0.2.1'],
            auth_enabled=True, auth_username='cinder',
            secret_uuid=rig.SECRET)

        self.assertEqual(
            (4 << 20) - 4096,
            self.connector.extend_decrypted(told, 4 << 20))
        self.assertEqual(4 << 20, self.connector.extend_decrypted(
            rig.connection('rbd'), 4 << 20))
        self.metadata = {}
        with self.assertRaises(exception.VolumeFailure):
            self.connector.extend_decrypted(told, 4 << 20)

    def test_a_header_is_read_by_the_user_of_the_guest(self) -> None:
        self.put('nova.privsep.qemu.privileged_qemu_img_info', _qemu_img_info)
        for name, value in (('rbd_user', 'cinder'),
                            ('rbd_secret_uuid', rig.SECRET)):
            self.option(name, value, 'libvirt')

        asked: tuple[dict[str, Any], ...] = ({}, {'auth_enabled': True})
        for data in asked:
            self.assertEqual(
                (4 << 20) - 4096, self.connector.extend_decrypted(
                    rig.connection(
                        'rbd', encrypted=True, name='p/v',
                        hosts=['192.0.2.1'], **data), 4 << 20))

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
        told = rig.connection(encrypted=True)
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
        told = rig.connection(
            'nfs', export='server:/x', encrypted=True,
            device_path='/mnt/x/volume')

        with self.assertRaises(exception.VolumeFailure):
            self.connector.unlock(told)

        self.assertEqual([], self.opened)


def relink(target: str, link: str, force: bool = True) -> None:
    pathlib.Path(link).unlink(missing_ok=True)
    os.symlink(target, link)


DEAD = """
import ctypes, os
import nova.privsep
from nova.privsep import libvirt as privsep_libvirt
from os_brick import privileged
from nova_libvirt_driver.nova_plugin import mounts
from nova_libvirt_driver.volumes import connection
from tests.nova import configured, volumes_rig
for context in nova.privsep.sys_admin_pctxt, privileged.default:
    context.set_client_mode(False)
configured.CONF.set_override(
    "quobyte_mount_point_base", "{base}", "libvirt")
mounted = []
def mount(volume, folder, cfg_file):
    mounted.append(folder)
    told = f"fd={{device}},rootmode=40000,user_id=0,group_id=0"
    assert not ctypes.CDLL(None).mount(
        b"quobyte@x", folder.encode(), b"fuse.quobyte", 0, told.encode())
for name in ("systemd_run_qb_mount", "unprivileged_qb_mount"):
    setattr(privsep_libvirt, name, mount)
info = volumes_rig.connection("quobyte", export="quobyte://x/y", name="v")
volume = connection.read(info)
device = os.open("/dev/fuse", os.O_RDWR)
mounts.mount(volume, info)
# As a guest does whose disks fail now.
used = os.open(mounted[0], os.O_PATH)
os.close(device)
device = os.open("/dev/fuse", os.O_RDWR)
mounts.mount(volume, info)
found = [line for line in open("/proc/self/mountinfo") if "{base}" in line]
os.close(device)
assert len(found) == 1, found
print(len(mounted))
"""


class MountTest(rig.VolumesTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.base = self.folder()
        self.option('nfs_mount_point_base', self.base, 'libvirt')
        self.mounted: list[Any] = []
        self.put('nova.privsep.fs.mount',
                 lambda *arguments: self.mounted.append(arguments))

    def test_what_is_not_mounted_afterwards_is_an_error(self) -> None:
        self.option('nfs_mount_options', 'vers=4', 'libvirt')
        told = rig.connection('nfs', export='server:/x', name='volume-1',
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
        told = rig.connection('nfs', export='server:/x', name='volume-1')
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

    @unittest.skipUnless(os.geteuid() == 0 and os.path.exists('/dev/fuse'),
                         'needs root, and FUSE')
    def test_what_a_program_served_that_has_ended(self) -> None:
        done = subprocess.run(
            ['unshare', '--mount', sys.executable, '-W', 'ignore', '-c',
             DEAD.format(base=self.base)],
            cwd=environments.ROOT, capture_output=True, text=True,
            timeout=environments.TIMEOUT_S)

        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual('2', done.stdout.strip())

    def test_passwords_of_a_mount_are_not_told(self) -> None:
        for options in ('-o username=u,password=S3cret', '-o user=u%S3cret',
                        '-o username=u,pass=S3cret,vers=3'):
            self.option('smbfs_mount_point_base', self.base, 'libvirt')
            told = rig.connection(
                'smbfs', export='//server/x', name='volume-1',
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
            rig.connection('nfs', export='server:/x', name='volume-1'),
            force=True)
