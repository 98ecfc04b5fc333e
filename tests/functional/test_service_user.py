# SPDX-License-Identifier: Apache-2.0

"""A service whose user is not root, as on every host but those of tests.

Libvirt's daemon is root, QEMU has a user of its own, and the files of guests
go from one to the other.
"""

import os
import pathlib
import pwd
import stat
import subprocess
from typing import Any
from typing import ClassVar
import uuid

import fixtures
import psutil

from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import guests as guests_rig
from nova_libvirt_driver.testing import libvirtd
from nova_libvirt_driver.testing import specs
from tests.functional import base
from tests.functional import guest_base
from tests.functional import process as process_module
from tests.functional import user_service

USER = 'nobody'
QEMU_USER = 'libvirt-qemu'
IMAGE_BYTES = 1 << 20
ROTATED_BYTES = 16
# CAP_CHOWN and CAP_DAC_READ_SEARCH.
PRIVILEGED = 1 << 0 | 1 << 2


class ServiceUserTestCase(base.PrivateHostTestCase):
    """Has a service of a user who is in QEMU's group and libvirt's.

    :cvar rights: how the service gets at files of others
    """

    rights: ClassVar[str]
    groups: ClassVar[tuple[str, ...]] = ('libvirt', QEMU_USER)
    libvirtd_settings: ClassVar[dict[str, libvirtd.Setting]] = {
        'unix_sock_group': 'libvirt', 'unix_sock_rw_perms': '0770'}

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.remove_domains)
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for folder in (self.folder, *self.folder.parents):
            if stat.S_IMODE(folder.stat().st_mode) == 0o700:
                folder.chmod(0o711)
        self.state_path = self.folder / 'state'
        self.instances_path = self.state_path / 'instances'
        self.state_path.mkdir()
        self.user = pwd.getpwnam(USER)
        os.chown(self.state_path, self.user.pw_uid, self.user.pw_gid)
        self.service = self.start_service()

    def start_service(self) -> user_service.Service:
        """Return a driver in a process of the user."""
        return self.enterContext(user_service.running(
            self.configure(), user=USER, groups=self.groups,
            rights=self.rights))

    def configure(self) -> pathlib.Path:
        """Return a file of configuration."""
        config = self.folder / 'service.conf'
        config.write_text('\n'.join((
            '[DEFAULT]', f'state_path = {self.state_path}',
            f'instances_path = {self.instances_path}',
            '[libvirt]', f'connection_uri = {self.host.uri}',
            'virt_type = qemu',
            f'tb_cache_size = {guest_base.TB_CACHE_MIB}', '')))
        return config

    def boot_guest(self, name: str, **overrides: Any) -> guest_spec.GuestSpec:
        """Return a guest whose image prints ``NAME is up`` and halts."""
        path = self.folder / f'{name}.img'
        path.write_bytes(guests_rig.boot_sector(f'{name} is up').ljust(
            IMAGE_BYTES, b'\0'))
        image_id = self.service.call(
            'add_image', path=str(path), name=name, disk_format='raw')
        return specs.guest_spec(name, image_id, **overrides)

    def wait_console(self, spec: guest_spec.GuestSpec, text: str) -> None:
        """Wait until a guest has printed a text."""
        fake_ports.wait_until(
            lambda: text in self.service.call('get_console_output', spec),
            text, timeout_s=guest_base.CONSOLE_TIMEOUT_S)

    def snapshot(self, spec: guest_spec.GuestSpec) -> int:
        """Make an image of a guest's disk; return the size of its file."""
        image_id = str(uuid.uuid4())
        self.service.call(
            'snapshot', spec, image_id=image_id, name=f'of {image_id}')
        size: int = self.service.call('image_bytes', image_id=image_id)
        return size

    def owner(self, spec: guest_spec.GuestSpec, name: str) -> str:
        """Return the owner of a file of an instance."""
        return (self.instances_path / spec.uuid / name).owner()

    def try_every_verb(self) -> None:
        """Lead a guest through all that has to do with its files."""
        call, spec = self.service.call, self.boot_guest(
            'web', config_drive=configdrive_spec.ConfigDriveSpec())

        call('spawn', spec)
        self.wait_console(spec, 'web is up')
        self.assertEqual(QEMU_USER, self.owner(spec, 'disk'))
        self.assertLess(0, self.snapshot(spec))
        self.assertEqual(QEMU_USER, self.owner(spec, 'disk'))
        call('reboot', spec, reboot_type='HARD')
        self.wait_console(spec, 'web is up')
        call('rescue', spec, image_id=spec.storage.image_id)
        self.wait_console(spec, 'web is up')
        call('unrescue', spec)
        call('suspend', spec)
        call('resume', spec)
        call('power_off', spec)
        stopped = self.owner(spec, 'disk')
        self.assertLess(0, self.snapshot(spec))
        self.assertEqual(stopped, self.owner(spec, 'disk'))
        self.assertEqual([], call('manage_image_cache'))
        call('resize_root_disk', spec, size_gib=1)
        call('power_on', spec)
        self.wait_console(spec, 'web is up')
        self.assertEqual(QEMU_USER, self.owner(spec, 'disk'))
        call('migrate_disk_and_power_off', spec)
        call('finish_revert_migration', spec)
        self.wait_console(spec, 'web is up')
        call('migrate_disk_and_power_off', spec)
        call('finish_migration', spec)
        self.wait_console(spec, 'web is up')
        call('confirm_migration', spec, is_here=True)
        call('destroy', spec)
        self.assertEqual([], self.left())

    def left(self) -> list[str]:
        """Return what there is of instances, and of copies of disks."""
        return [str(path.relative_to(self.instances_path))
                for pattern in ('*-*-*', 'snapshots/*')
                for path in self.instances_path.glob(pattern)]


class ForkedRightsTest(ServiceUserTestCase):
    """Libvirt's log daemon is root; the rights are the service manager's."""

    rights = 'forked'
    qemu_settings: ClassVar[dict[str, libvirtd.Setting]] = {
        'user': QEMU_USER, 'group': QEMU_USER, 'remember_owner': 1}
    virtlogd_settings: ClassVar[dict[str, libvirtd.Setting] | None] = {
        'max_size': ROTATED_BYTES}

    def test_every_verb_works(self) -> None:
        self.try_every_verb()

    def test_the_rights_are_in_another_process(self) -> None:
        spec = self.boot_guest('web')
        self.service.call('spawn', spec)
        self.wait_console(spec, 'web is up')

        self.assertEqual(
            ({self.user.pw_uid}, 0), _rights_of(self.service.pid))

    def test_the_stand_alone_service_parts_with_them_at_once(self) -> None:
        process = user_service.started(
            [*process_module.PROGRAM, '--config-file', str(self.configure())],
            self.folder / 'service.conf', user=USER, groups=self.groups,
            rights=self.rights, stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        user_id = {self.user.pw_uid}
        fake_ports.wait_until(
            lambda: _rights_of(process.pid) == (user_id, 0),
            'a service without rights', timeout_s=process_module.TIMEOUT_S)

        fake_ports.wait_until(
            lambda: [_rights_of(child.pid) for child in psutil.Process(
                process.pid).children()] == [(user_id, PRIVILEGED)],
            'one helper, which has them',
            timeout_s=process_module.TIMEOUT_S)

    def test_logs_that_were_rotated_are_read_too(self) -> None:
        text = 'x' * (2 * ROTATED_BYTES)
        spec = self.boot_guest(text)

        self.service.call('spawn', spec)

        self.wait_console(spec, f'{text} is up')
        self.assertEqual('root', self.owner(spec, 'console.log.0'))


class SudoTest(ServiceUserTestCase):
    """Nothing is given back, as on a file system without attributes."""

    rights = 'sudo'
    qemu_settings: ClassVar[dict[str, libvirtd.Setting]] = {
        'user': QEMU_USER, 'group': QEMU_USER, 'remember_owner': 0}

    def test_every_verb_works(self) -> None:
        self.try_every_verb()

    def test_a_disk_that_is_copied_stays_that_of_root(self) -> None:
        spec = self.boot_guest('web')
        self.service.call('spawn', spec, power_on=True)
        self.service.call('power_off', spec)
        self.assertEqual('root', self.owner(spec, 'disk'))

        self.snapshot(spec)

        self.assertEqual('root', self.owner(spec, 'disk'))


class NoRightsTest(ServiceUserTestCase):
    """There is no way to more rights than those of the user."""

    rights = 'none'
    qemu_settings: ClassVar[dict[str, libvirtd.Setting]] = {
        'user': QEMU_USER, 'group': QEMU_USER, 'remember_owner': 0}

    def test_what_needs_no_rights_works(self) -> None:
        call, spec = self.service.call, self.boot_guest(
            'web', config_drive=configdrive_spec.ConfigDriveSpec())

        call('spawn', spec)
        self.assertLess(0, self.snapshot(spec))
        call('reboot', spec, reboot_type='HARD')
        call('rescue', spec, image_id=spec.storage.image_id)
        call('unrescue', spec)
        call('destroy', spec)

        self.assertEqual([], self.left())

    def test_what_needs_them_says_what_to_do(self) -> None:
        spec = self.boot_guest('web')
        self.service.call('spawn', spec)

        self.assert_refused('get_console_output', spec)
        self.service.call('power_off', spec)
        self.assert_refused('resize_root_disk', spec, size_gib=1)
        self.assert_refused(
            'snapshot', spec, image_id=str(uuid.uuid4()), name='cold')

        self.assertEqual([], list(
            self.instances_path.glob('snapshots/*')))

    def assert_refused(
            self, verb: str, spec: guest_spec.GuestSpec,
            **arguments: Any) -> None:
        error = self.assertRaises(
            user_service.Refused, self.service.call, verb, spec, **arguments)
        self.assertEqual('PrivilegesMissing', error.kind, str(error))
        self.assertIn(f'let the user {USER} run privsep-helper',
                      error.next_step)


def _rights_of(pid: int) -> tuple[set[int], int]:
    """Return all user ids and the capabilities of a process."""
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
    fields = dict(line.split(':', 1) for line in status.splitlines())
    return (set(map(int, fields['Uid'].split())),
            int(fields['CapPrm'], 16) | int(fields['CapEff'], 16))
