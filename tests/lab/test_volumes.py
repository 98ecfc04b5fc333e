# SPDX-License-Identifier: Apache-2.0

"""Guests with volumes that the host gets from real targets, by os-brick."""

from collections.abc import Callable
import os
import tempfile
from typing import Any

import fixtures
from nova import context as nova_context
from nova.volume import cinder

from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import brick
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.testing import guests as guests_rig
from nova_libvirt_driver.testing import specs
from tests.lab import base
from tests.lab import killed
from tests.lab import targets

BOOT = guests_rig.boot_sector('guest is up')
KEY = 'a' * 64


class VolumesTestCase(base.LabTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.locks = self.useFixture(fixtures.TempDir()).path
        killed.prepare(self.locks)
        # Where QEMU's user comes in.
        mounts = tempfile.mkdtemp(prefix='mounts-', dir='/var/lib')
        self.addCleanup(os.rmdir, mounts)
        os.chmod(mounts, 0o755)
        self.config.config(
            group='libvirt', nfs_mount_point_base=mounts,
            num_volume_scan_tries=10)
        self.connector = brick.Connector(
            nova_context.get_admin_context())

    def attachment(
            self, spec: guest_spec.GuestSpec, info: dict[str, Any], *,
            name: str = 'vda',
            size_bytes: int = 0) -> ports.VolumeAttachment:
        return self.driver.volume_attachment(spec, [volume_spec.Volume(
            info=info, size_bytes=size_bytes, place=volume_spec.Placement(
                target_dev=name, bus=disk_spec.DiskBus.VIRTIO,
                boot_order=1 if name == 'vda' else None))], self.connector)

    def live(
            self, info: dict[str, Any], *, size_bytes: int = 0) -> None:
        """Let a guest boot from a volume, three times, and go."""
        spec = specs.guest_spec('guest')

        self.driver.spawn(spec, attachments=[
            self.attachment(spec, info, size_bytes=size_bytes)])
        self.wait_up(spec)

        # As the service would know it from its database.
        self.driver.reboot(
            spec, guest_spec.RebootType.HARD, attachments=[
                self.attachment(spec, info, size_bytes=size_bytes)])
        self.wait_up(spec)
        self.driver.power_off(spec)
        self.driver.power_on(spec, attachments=[
            self.attachment(spec, info, size_bytes=size_bytes)])
        self.wait_up(spec)
        self.driver.destroy(spec, attachments=[self.attachment(spec, info)])
        self.assertFalse((self.instances_path / spec.uuid).exists())
        self.assertEqual('', self.virsh('list', '--all', '--name').strip())


class IscsiTest(VolumesTestCase):

    def test_one_path(self) -> None:
        target = self.useFixture(targets.Iscsi())
        targets.write(targets.DISK, BOOT)

        self.live(target.connection_info(), size_bytes=targets.SIZE_BYTES)

        targets.wait_gone(target.sessions)

    def test_two_paths(self) -> None:
        target = self.useFixture(targets.Iscsi(multipath=True))
        targets.write(targets.DISK, BOOT)
        self.config.config(group='libvirt', volume_use_multipath=True)
        info = target.connection_info()
        spec = specs.guest_spec('guest')

        self.driver.spawn(spec, attachments=[self.attachment(spec, info)])

        self.wait_up(spec)
        self.assertEqual(['192.0.2.1', '192.0.2.2'], target.sessions())
        disk = self.virsh('domblklist', spec.name).split()[-1]
        self.assertRegex(os.path.realpath(disk), '^/dev/dm-')
        self.driver.destroy(spec, attachments=[self.attachment(spec, info)])
        targets.wait_gone(target.sessions)
        self.assertEqual('', base.run('multipath', '-ll'))

    def test_a_volume_of_the_wrong_size_is_refused(self) -> None:
        target = self.useFixture(targets.Iscsi())
        spec = specs.guest_spec('guest')

        error = self.assertRaises(
            exception.VolumeFailure, self.driver.spawn, spec, attachments=[
                self.attachment(spec, target.connection_info(),
                                size_bytes=2 * targets.SIZE_BYTES)])

        self.assertIn('bytes', str(error))
        targets.wait_gone(target.sessions)
        self.assertNotIn(spec.name, self.virsh('list', '--all', '--name'))

    def test_what_the_kernel_decrypts(self) -> None:
        self.encrypted('plain', lambda disk: os.path.realpath(
            disk).startswith('/dev/dm-'))

    def test_what_qemu_decrypts(self) -> None:
        self.encrypted('luks', lambda disk: '/dm-' not in os.path.realpath(
            disk))

    def encrypted(
            self, provider: str, is_right: Callable[[str], bool]) -> None:
        """Have a guest with an encrypted data volume, restarted as well."""
        target = self.useFixture(targets.Iscsi())
        targets.write(targets.DISK, b'\0' * (1 << 20))
        self.config.config(
            group='key_manager', fixed_key=KEY,
            backend='nova.keymgr.conf_key_mgr.ConfKeyManager')
        self.useFixture(fixtures.MockPatchObject(
            cinder.API, 'get_volume_encryption_metadata', autospec=True,
            return_value={
                'provider': provider, 'cipher': 'aes-xts-plain64',
                'key_size': 256, 'control_location': 'front-end',
                'encryption_key_id': '00000000-0000-0000-0000-000000000000'}))
        info = target.connection_info(encrypted=True)
        spec = self.boot_guest('guest')

        def attached() -> list[ports.Attachment]:
            return [self.attachment(spec, info, name='vdb')]

        self.driver.spawn(spec, attachments=attached())
        self.wait_up(spec)
        for _ in range(2):
            self.assertTrue(is_right(self.disk(spec, 'vdb')))
            self.driver.reboot(spec, guest_spec.RebootType.HARD,
                               attachments=attached())
        self.driver.destroy(spec, attachments=attached())
        targets.wait_gone(target.sessions)
        self.assertEqual('', self.virsh('secret-list'))
        self.assertIn('No devices found', base.run('dmsetup', 'ls'))

    def disk(self, spec: guest_spec.GuestSpec, name: str) -> str:
        """Return the source of a disk as libvirt tells it."""
        return dict(line.split() for line in self.virsh(
            'domblklist', spec.name).splitlines())[name]


class NfsTest(VolumesTestCase):

    def test_a_file(self) -> None:
        export = self.useFixture(targets.Nfs())
        name = f'volume-{targets.VOLUME}'
        (export.folder / name).write_bytes(BOOT.ljust(1 << 20, b'\0'))
        (export.folder / name).chmod(0o666)

        self.live(export.connection_info(name))

        self.assertEqual([], export.mounts())


class NvmeTest(VolumesTestCase):

    def test_over_tcp(self) -> None:
        target = self.useFixture(targets.Nvme())
        targets.write(targets.DISK, BOOT)

        self.live(target.connection_info(), size_bytes=targets.SIZE_BYTES)

        targets.wait_gone(target.controllers)
