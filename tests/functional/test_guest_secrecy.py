# SPDX-License-Identifier: Apache-2.0

"""What a tenant must not reach, and what nobody else must see."""

import base64
import dataclasses
import logging
import os
import pathlib
import stat
import subprocess

import fixtures
from lxml import etree

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.testing import fake_progress
from nova_libvirt_driver.testing import specs
from tests.functional import guest_base

MIB = 1 << 20
HOST_FILE = '/etc/hostname'
SNAPSHOT_ID = '5f0c1f0e-6d1f-4a39-9f0c-0f3d5a9d7b11'
USER_DATA = 'canary-of-user-data-41c7'
PASSWORD = 'canary-of-first-boot-9e02'
NEW_PASSWORD = 'canary-of-the-agent-5d33'
ODD = '<name a="b">&amp;]]> \'q\' \u20ac \U0001f600 %s {0}'


class HeaderRewriteTest(guest_base.GuestTestCase):
    """A guest writes a qcow2 header with a backing file on its raw disk."""

    def setUp(self) -> None:
        super().setUp()
        self.config.config(group='libvirt', images_type='raw')
        self.driver = self.make_guest_driver()
        self.spec = self.boot_guest('web')
        self.driver.spawn(self.spec)
        self.disk = self.instances_path / self.spec.uuid / 'disk'
        header = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path, 'header')
        # Who falls for it sees a disk of another size.
        subprocess.check_call([
            'qemu-img', 'create', '-q', '-f', 'qcow2', '-b', HOST_FILE,
            '-F', 'raw', str(header), '64M'])
        evil = header.read_bytes()[:MIB]
        with self.disk.open('r+b') as file:
            file.write(evil)
        self.bytes = self.disk.read_bytes()

    def assert_raw(self) -> None:
        """Fail unless QEMU has every disk for a raw one of its length."""
        domain = etree.fromstring(self.host.virsh('dumpxml', 'web'))
        disks = domain.findall('devices/disk')
        self.assertTrue(disks)
        for disk in disks:
            driver, target = disk.find('driver'), disk.find('target')
            assert driver is not None and target is not None
            self.assertEqual('raw', driver.get('type'))
            self.assertIsNone(disk.find('backingStore/source'))
            told = self.host.virsh('domblkinfo', 'web', target.get('dev', ''))
            self.assertRegex(told, rf'Capacity: +{MIB}\n')

    def assert_snapshot_is_the_disk(self) -> None:
        self.driver.snapshot(self.spec, SNAPSHOT_ID)
        self.assertEqual('raw', self.images.show(SNAPSHOT_ID).disk_format)
        self.assertEqual(self.bytes, self.images.content(SNAPSHOT_ID))

    def test_reboot_takes_the_disk_as_it_is(self) -> None:
        self.driver.reboot(self.spec, guest_spec.RebootType.HARD)

        self.assert_raw()
        self.assertEqual(self.bytes, self.disk.read_bytes())

    def test_snapshot_has_the_bytes_of_the_disk(self) -> None:
        self.assert_snapshot_is_the_disk()

        self.driver.power_off(self.spec)

        self.assert_snapshot_is_the_disk()

    def test_snapshot_makes_no_guest_that_sees_more(self) -> None:
        self.driver.snapshot(self.spec, SNAPSHOT_ID)
        before = self.look_at_host()

        self.assertRaises(
            exception.ImageRefused, self.driver.spawn,
            specs.guest_spec('second', SNAPSHOT_ID))

        self.assert_host_is(before)

    def test_rescue_takes_the_disk_as_it_is(self) -> None:
        self.driver.rescue(self.spec, self.spec.storage.image_id)
        self.assert_raw()

        self.driver.unrescue(self.spec)

        self.assert_raw()
        self.assertEqual(self.bytes, self.disk.read_bytes())

    def test_stopped_disk_grows_as_what_it_is(self) -> None:
        self.driver.power_off(self.spec)

        self.driver.resize_root_disk(self.spec, 1)

        self.assertEqual(1 << 30, self.disk.stat().st_size)
        with self.disk.open('rb') as file:
            self.assertEqual(self.bytes, file.read(MIB))


class SecrecyTest(guest_base.GuestTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.everything = self.useFixture(
            fixtures.FakeLogger(level=logging.DEBUG))
        self.drive = configdrive_spec.ConfigDriveSpec(
            user_data=USER_DATA, admin_password=PASSWORD,
            files=(configdrive_spec.InjectedFile(
                path='/etc/key', content_base64=base64.b64encode(
                    USER_DATA.encode()).decode()),))

    def assert_nowhere(self, *texts: object) -> None:
        """Fail if a secret is told by a log, a notification, or a text."""
        told = '\n'.join(map(str, (
            self.log.output, self.everything.output, self.notifier.errors,
            self.notifier.infos, self.host.log_path.read_text(), *texts)))
        for secret in (USER_DATA, PASSWORD, NEW_PASSWORD):
            self.assertNotIn(secret, told)

    def test_secrets_of_a_guest_are_told_to_it_alone(self) -> None:
        spec = self.boot_guest('web', config_drive=self.drive)

        self.driver.spawn(spec)
        self.wait_console(spec, 'web is up')
        self.driver.rescue(spec, spec.storage.image_id)
        self.driver.unrescue(spec)
        self.driver.reboot(spec, guest_spec.RebootType.HARD)
        error = self.assertRaises(
            exception.AgentUnavailable, self.driver.set_admin_password,
            spec, NEW_PASSWORD)

        drive = self.instances_path / spec.uuid / 'disk.config'
        content = drive.read_bytes()
        self.assertIn(USER_DATA.encode(), content)
        self.assertIn(PASSWORD.encode(), content)
        self.assert_nowhere(
            error, repr(spec), self.driver.get_domain_xml(spec),
            self.driver.get_domain_xml(spec, inactive=True),
            self.driver.get_diagnostics(spec))

    def test_first_password_is_kept_on_the_drive_only(self) -> None:
        spec = self.boot_guest('web', config_drive=self.drive)
        self.driver.spawn(spec)
        self.driver.rescue(spec, spec.storage.image_id)

        having = {path.name for path in self.instances_path.rglob('*')
                  if path.is_file() and PASSWORD.encode()
                  in path.read_bytes()}

        self.assertEqual({'disk.config', 'disk.config.rescue'}, having)

    def test_secrets_are_in_no_error(self) -> None:
        spec = self.boot_guest('web', config_drive=self.drive)
        progress = fake_progress.RecordingProgress()
        self.driver.spawn(spec, progress=progress)
        self.driver.destroy(spec)
        step = progress.steps.index('define') + 1

        error = self.assertRaises(
            fake_progress.Stopped, self.driver.spawn, spec,
            progress=fake_progress.FailingProgress(step))
        wrong = dataclasses.replace(
            spec, config_drive=dataclasses.replace(
                self.drive, vendor_data='{' + USER_DATA))
        refused = self.assertRaises(
            exception.InvalidRequest, self.driver.spawn, wrong)

        self.assert_nowhere(error, repr(error), refused, repr(refused))

    def test_nothing_is_open_to_the_world(self) -> None:
        spec = dataclasses.replace(
            self.boot_guest('web', config_drive=self.drive),
            storage=disk_spec.StorageSpec(
                image_id=self.images.ids[0] if self.images.ids else '',
                ephemerals=(disk_spec.LocalDisk(size_mib=8),),
                swap=disk_spec.LocalDisk(size_mib=8)))
        image = specs.boot_sector_image(self.images, 'web is up')
        spec = dataclasses.replace(spec, storage=dataclasses.replace(
            spec.storage, image_id=image.id))
        umask = os.umask(0)
        self.addCleanup(os.umask, umask)
        self.driver.spawn(spec)
        self.wait_console(spec, 'web is up')
        self.driver.rescue(spec, image.id)

        found = {
            str(path.relative_to(self.instances_path)): path.stat().st_mode
            for path in self.instances_path.rglob('*')}

        self.assertIn(f'{spec.uuid}/console.log', found)
        self.assertIn(f'{spec.uuid}/disk.config.rescue', found)
        self.assertEqual({}, {
            path: oct(mode) for path, mode in found.items()
            if mode & (stat.S_IRWXO | stat.S_IWGRP)})


class OddRequestTest(guest_base.GuestTestCase):

    def test_names_come_back_as_they_were(self) -> None:
        spec = self.boot_guest('web<&>"\'%s')
        metadata = dataclasses.replace(
            spec.metadata, display_name=ODD + '\0\x07\x1b',
            owner=guest_spec.Owner(user_name=ODD, project_name='\x01' + ODD),
            flavor=specs.flavor(name=ODD, extra_specs={ODD: '\x02' + ODD}))
        spec = dataclasses.replace(spec, metadata=metadata)

        self.driver.spawn(spec)
        self.wait_console(spec, 'is up')

        [summary] = self.driver.list_instance_summaries()
        self.assertEqual(spec.name, summary.name)
        self.assertEqual(ODD, summary.display_name)
        self.assertEqual(metadata, self.driver.get_spec(spec).metadata)
        xml = etree.fromstring(self.driver.get_domain_xml(spec).encode())
        told = [element.text for element in xml.iterfind(
            'metadata/{*}instance//{*}*')]
        self.assertEqual(4, told.count(ODD))
        self.driver.destroy(spec)

    def test_domain_of_an_impossible_name_is_refused(self) -> None:
        before = self.look_at_host()

        for name in ('a\nb', 'a\0b', '../a', 'a/b', '', '\ud800'):
            spec = dataclasses.replace(self.boot_guest('web'), name=name)
            self.assertRaises(
                exception.InvalidRequest, self.driver.spawn, spec)
            self.assert_host_is(before)

    def test_flavor_without_a_disk_bounds_the_image_all_the_same(
            self) -> None:
        self.config.config(group='nova_libvirt_driver', image_max_size=1)
        self.driver = self.make_guest_driver()
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'big')
        subprocess.check_call(
            ['qemu-img', 'create', '-q', '-f', 'qcow2', str(path), '2G'])
        image = self.images.add(path.read_bytes(), disk_format='qcow2')
        before = self.look_at_host()

        for root_gib in (0, 1):
            spec = specs.guest_spec('web', image.id, root_gib=root_gib)
            self.assertRaises(
                (exception.ImageRefused, exception.FlavorTooSmall),
                self.driver.spawn, spec)

        self.assert_host_is(before)
        self.assertEqual(
            [], [path for path in (self.instances_path / '_base').iterdir()
                 if path.is_file()])
