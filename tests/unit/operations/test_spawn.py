# SPDX-License-Identifier: Apache-2.0

import base64
import dataclasses
import os
import pathlib

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_progress
from tests.unit.operations import whole

_EVERYTHING = disk_spec.StorageSpec(
    ephemerals=(disk_spec.LocalDisk(size_mib=16),),
    swap=disk_spec.LocalDisk(size_mib=8))


class SpawnTest(whole.WholeTestCase):

    def test_guest_runs_with_all_its_files(self) -> None:
        spec = self.guest(config_drive=configdrive_spec.ConfigDriveSpec())
        spec = dataclasses.replace(spec, storage=dataclasses.replace(
            _EVERYTHING, image_id=self.image.id))

        self.driver.spawn(spec)

        self.assertEqual(
            sorted(f'{spec.uuid}/{name}' for name in (
                'disk', 'disk.config', 'disk.eph0', 'disk.info',
                'disk.swap', 'guest.json')), self.remains())
        self.assertIs(instance_spec.PowerState.RUNNING,
                      self.driver.get_info(spec).state)

    def test_steps_fail_one_after_the_other_and_leave_nothing(self) -> None:
        spec = self.guest(config_drive=configdrive_spec.ConfigDriveSpec())
        number, failed = 1, True
        while failed:
            progress = fake_progress.FailingProgress(number)
            try:
                self.driver.spawn(spec, progress=progress)
            except fake_progress.Stopped:
                self.assertEqual([], self.names(), str(progress.steps))
                self.assertEqual([], self.remains(), str(progress.steps))
            failed = progress.raised
            number += 1

        self.assertGreater(number, 8)
        self.assertEqual(['one'], self.names())

    def test_a_config_drive_may_tell_of_the_domain(self) -> None:
        spec = self.guest(config_drive=configdrive_spec.ConfigDriveSpec())

        def drive(xml: str) -> configdrive_spec.ConfigDriveSpec:
            seen = 'known' if f'<uuid>{spec.uuid}</uuid>' in xml else 'alien'
            return configdrive_spec.ConfigDriveSpec(prebuilt={
                'seen': base64.b64encode(f'it is {seen}'.encode()).decode()})

        self.driver.spawn(spec, config_drive=drive)

        self.assertIn(b'it is known', pathlib.Path(
            self.instances_path, spec.uuid, 'disk.config').read_bytes())

    def test_a_config_drive_that_cannot_be_made_leaves_nothing(self) -> None:
        spec = self.guest(config_drive=configdrive_spec.ConfigDriveSpec())

        def drive(xml: str) -> configdrive_spec.ConfigDriveSpec:
            raise OSError('no database')

        self.assertRaises(
            OSError, self.driver.spawn, spec, config_drive=drive)

        self.assertEqual([], self.names())
        self.assertEqual([], self.remains())

    def test_a_start_that_fails_leaves_nothing(self) -> None:
        self.hypervisor.fail_next('createWithFlags', OSError('no memory'))

        self.assertRaises(OSError, self.driver.spawn, self.guest())

        self.assertEqual([], self.names())
        self.assertEqual([], self.remains())

    def test_without_power_it_is_only_defined(self) -> None:
        spec = self.guest()

        self.driver.spawn(spec, power_on=False)

        self.assertIs(instance_spec.PowerState.SHUTDOWN,
                      self.driver.get_info(spec).state)

    def test_names_and_uuids_that_are_taken_are_refused(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        before = self.remains()

        for other in (spec, self.guest('one')):
            self.assertRaises(
                exception.InstanceExists, self.driver.spawn, other)

        self.assertEqual(before, self.remains())
        self.assertEqual(['one'], self.names())

    def test_a_folder_that_is_left_is_named(self) -> None:
        spec = self.guest()
        folder = os.path.join(self.instances_path, spec.uuid)
        os.makedirs(folder)

        error = self.assertRaises(
            exception.InstanceExists, self.driver.spawn, spec)

        self.assertIn(f'its folder {folder} is there', str(error))
        self.assertIn(folder, error.next_step)
        self.assertNotIn('another name', error.next_step)

    def test_a_record_of_the_spec_is_kept_with_its_machine(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)

        kept = self.driver.get_spec(spec)

        self.assertEqual(spec, dataclasses.replace(
            kept, boot=dataclasses.replace(kept.boot, machine='')))

    def test_kernel_images_are_fetched(self) -> None:
        kernel = self.images.add(b'kernel', name='kernel')
        spec = self.guest(boot=boot_spec.BootSpec(
            kernel_image_id=kernel.id, kernel_cmdline='quiet'))

        self.driver.spawn(spec)

        self.assertEqual(
            b'kernel', (self.folder(spec) / 'kernel').read_bytes())
        self.assertIn(str(self.folder(spec) / 'kernel'),
                      self.driver.get_domain_xml(spec))

    def test_a_kernel_that_is_another_one_is_refused(self) -> None:
        kernel = self.images.add(
            b'kernel', name='kernel', checksum='0' * 64,
            checksum_algorithm='sha256')
        spec = self.guest(boot=boot_spec.BootSpec(kernel_image_id=kernel.id))

        self.assertRaises(
            exception.ImageRefused, self.driver.spawn, spec)

        self.assertEqual([], self.remains())

    def test_a_spec_that_is_no_domain_makes_nothing(self) -> None:
        spec = self.guest(name='bell\x07')

        self.assertRaises(
            exception.InvalidRequest, self.driver.spawn, spec)

        self.assertEqual([], self.remains())

    def test_looking_at_the_xml_makes_nothing(self) -> None:
        xml = self.driver.get_guest_xml(self.guest())

        self.assertIn('<name>one</name>', xml)
        self.assertEqual([], self.remains())
