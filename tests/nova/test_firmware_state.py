# SPDX-License-Identifier: Apache-2.0

"""What TPM and firmware remember, on its way to another host."""

import os
import pathlib

import fixtures
import nova.conf
import nova.privsep
from nova.virt.libvirt import utils as libvirt_utils
from oslotest import base

from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import firmware_state
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_guest_driver

CONF = nova.conf.CONF

UUID = '9b2c7d1e-4a3f-4c5d-8e6f-0a1b2c3d4e5f'
STATE = 'tpm2/tpm2-00.permall'
XML = """\
<domain type='qemu'>
  <uuid>{}</uuid>
  <os><type>hvm</type><nvram>{}</nvram></os>
  <devices>{}</devices>
</domain>
"""
TPM = '<tpm model="tpm-crb"><backend type="emulator"/></tpm>'


class FirmwareStateTest(base.BaseTestCase):

    def setUp(self) -> None:
        super().setUp()
        root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.tpm = root / 'swtpm' / UUID
        self.nvram = root / 'nvram' / 'one_VARS.fd'
        self.folder = root / 'instances' / UUID
        for folder in (self.tpm.parent, self.nvram.parent, self.folder):
            folder.mkdir(parents=True)
        self.useFixture(fixtures.MonkeyPatch(
            'nova.virt.libvirt.utils.VTPM_DIR', str(self.tpm.parent)))
        CONF.set_override('instances_path', str(self.folder.parent))
        self.addCleanup(CONF.clear_override, 'instances_path')
        for name in ('swtpm_user', 'swtpm_group'):
            CONF.set_override(name, 'root', 'libvirt')
            self.addCleanup(CONF.clear_override, name, 'libvirt')
        nova.privsep.sys_admin_pctxt.set_client_mode(False)
        self.addCleanup(nova.privsep.sys_admin_pctxt.set_client_mode, True)
        self.core = fake_guest_driver.GuestDriver()
        self.has(TPM)

    def has(self, devices: str) -> None:
        """Let the guest have these devices, and UEFI firmware."""
        self.xml = XML.format(UUID, self.nvram, devices)
        self.core.xml[UUID] = (self.xml, self.xml)

    def remember(self) -> None:
        """Let TPM and firmware remember something."""
        (self.tpm / STATE).parent.mkdir(parents=True)
        (self.tpm / STATE).write_text('keys')
        self.nvram.write_text('boot order')

    def collect(self) -> None:
        firmware_state.collect(self.xml, str(self.folder))

    def start(self) -> None:
        with firmware_state.Returning(
                self.core, instance_spec.InstanceRef(UUID, 'one')).connect():
            pass

    def assert_remembered(self) -> None:
        self.assertEqual('keys', (self.tpm / STATE).read_text())
        self.assertEqual('boot order', self.nvram.read_text())
        self.assertEqual([], os.listdir(self.folder))

    def test_it_goes_with_the_files_and_comes_back_at_a_start(self) -> None:
        self.remember()

        self.collect()

        self.assertFalse(self.tpm.exists())
        self.assertFalse(self.nvram.exists())
        self.assertEqual(
            'keys', (self.folder / 'swtpm' / UUID / STATE).read_text())
        self.assertEqual('boot order', (self.folder / 'nvram').read_text())
        for _ in range(2):
            self.start()
            self.assert_remembered()

    def test_that_of_a_guest_that_was_not_started_goes_on(self) -> None:
        self.remember()
        for _ in range(2):
            self.collect()
        self.start()

        self.assert_remembered()

    def test_a_guest_that_has_neither(self) -> None:
        self.has('')
        self.collect()
        self.start()

        self.assertEqual([], os.listdir(self.folder))

    def test_a_flavor_without_a_tpm_forgets_it(self) -> None:
        self.remember()
        self.collect()
        self.has('')
        self.start()

        self.assertFalse(self.tpm.exists())
        self.assertEqual([], os.listdir(self.folder))

    def test_two_of_them_are_for_a_person_to_tell_apart(self) -> None:
        self.remember()
        self.collect()
        self.tpm.mkdir()

        error = self.assertRaises(exception.StorageFailure, self.start)

        self.assertIn(str(self.tpm), str(error))
        self.assertTrue((self.folder / 'swtpm' / UUID / STATE).exists())

    def test_novas_own_driver_finds_it(self) -> None:
        self.remember()
        self.collect()

        libvirt_utils.restore_vtpm_dir(
            str(self.folder / 'swtpm' / UUID))

        self.assertEqual('keys', (self.tpm / STATE).read_text())

    def test_what_cannot_be_moved_is_named(self) -> None:
        self.remember()
        (self.folder / 'nvram').mkdir()
        (self.folder / 'nvram' / 'one_VARS.fd').mkdir()

        error = self.assertRaises(exception.StorageFailure, self.collect)

        self.assertIn(str(self.nvram), str(error))
        self.assertTrue(self.nvram.exists())
