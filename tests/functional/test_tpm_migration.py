# SPDX-License-Identifier: Apache-2.0

"""Guests that take along what an emulated TPM remembers."""

import os
import re

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import linux_disk
from nova_libvirt_driver.testing import linux_guest
from nova_libvirt_driver.testing import specs
from tests.functional import pair
from tests.functional import test_live_migration

SECRET = device_spec.TpmSecret(
    uuid='6a5d2c0e-51fe-4b3c-8f6d-0e2f3b7c9a11', value=b'correct horse',
    kept=True)


class TpmMigrationTest(test_live_migration.LiveMigrationTestCase):
    """What it remembers is encrypted, and the hosts keep that secret."""

    is_shared = True

    def with_tpm(self) -> guest_spec.GuestSpec:
        path = self.root / 'linux'
        linux_disk.write_disk(path, linux_guest.build(), name='web', note='')
        spec = specs.guest_spec(
            'web', self.images.add(str(path), name='linux').id,
            memory_mib=linux_guest.MEMORY_MIB,
            devices=device_spec.DeviceSpec(
                tpm=device_spec.TpmSpec(secret_uuid=SECRET.uuid)))
        for side in (self.source, self.target):
            self.addCleanup(side.driver.delete_tpm_secret, spec)
        with self.source.driver.holding_tpm_secret(spec, SECRET):
            self.source.driver.spawn(
                spec, attachments=self.attachments(self.source))
        fake_ports.wait_until(
            lambda: 'guest: ready' in self.console(self.source, spec),
            'a guest that is up', timeout_s=240)
        return spec

    def console(self, side: pair.Side, spec: guest_spec.GuestSpec) -> str:
        return side.driver.get_console_output(spec).decode(errors='replace')

    def remembered(
            self, side: pair.Side, spec: guest_spec.GuestSpec,
            text: str = '') -> str:
        """Return what its TPM remembers, after a text that it is given."""
        def told() -> list[str]:
            return re.findall('guest: remembers ([0-9A-F]+)',
                              self.console(side, spec))

        before = len(told())
        # QEMU looks once a second whether somebody has opened it.
        terminal = os.open(side.host.virsh('ttyconsole', spec.name).strip(),
                           os.O_WRONLY | os.O_NOCTTY)
        try:
            os.write(terminal, f'extend {text}\n'.encode())
            fake_ports.wait_until(
                lambda: len(told()) > before, 'an answer', timeout_s=300)
        finally:
            os.close(terminal)
        return told()[-1]

    def state_files(self, side: pair.Side) -> list[str]:
        folder = side.host.directory / 'lib' / 'swtpm'
        return [name for _, _, names in os.walk(folder) for name in names
                if name != '.lock']

    def test_it_remembers_the_same_there(self) -> None:
        spec = self.with_tpm()
        before = self.remembered(self.source, spec, 'the disk is unlocked')
        self.assertNotEqual('0' * 64, before)
        self.assertNotEqual([], self.state_files(self.source))
        there = self.prepare(spec, self.source, self.target)
        error = self.assertRaises(
            exception.MigrationFailed, self.go, there, self.source,
            self.target)
        self.assertIn('ecret', str(error))
        self.roll_back(spec)
        self.assert_only_at(self.source, spec)
        self.assertEqual([], self.state_files(self.target))
        self.assertEqual(before, self.remembered(self.source, spec))

        with self.target.driver.holding_tpm_secret(spec, SECRET):
            self.move(spec, self.source, self.target)

        self.assert_only_at(self.target, spec)
        self.assertEqual(before, self.remembered(self.target, spec))
        self.assertEqual([], self.state_files(self.source))
        self.move(spec, self.target, self.source)
        self.assertEqual(before, self.remembered(self.source, spec))
