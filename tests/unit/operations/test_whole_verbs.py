# SPDX-License-Identifier: Apache-2.0

"""Destroying, starting, rebooting, resizing; and keeping the cache."""

from concurrent import futures
import os
import subprocess

import fixtures
import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import image_cache
from nova_libvirt_driver.storage import record
from nova_libvirt_driver.testing import fake_progress
from tests.unit.operations import whole

State = instance_spec.PowerState


class DestroyTest(whole.WholeTestCase):

    def test_nothing_is_left_and_twice_is_fine(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)

        self.driver.destroy(spec)
        self.driver.destroy(spec)

        self.assertEqual([], self.names())
        self.assertEqual([], self.remains())

    def test_disks_can_be_kept_and_removed_later(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)

        self.driver.destroy(spec, destroy_disks=False)

        self.assertTrue(self.driver.instance_on_disk(spec))
        self.assertTrue(self.driver.delete_instance_files(spec))
        self.assertFalse(self.driver.instance_on_disk(spec))

    def test_files_of_a_guest_with_a_domain_stay(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)

        self.assertFalse(self.driver.delete_instance_files(spec))

        self.assertTrue(self.driver.instance_on_disk(spec))

    def test_a_foreign_domain_is_not_touched(self) -> None:
        foreign = self.hypervisor.add_guest('foreign')

        self.assertRaises(
            exception.ForeignDomain, self.driver.destroy,
            instance_spec.InstanceRef(foreign.uuid, 'foreign'))

        self.assertEqual(['foreign'], self.names())


class PowerTest(whole.WholeTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.spec = self.guest()
        self.driver.spawn(self.spec)

    def state(self) -> State:
        return self.driver.get_info(self.spec, use_cache=False).state

    def test_stopped_and_started(self) -> None:
        self.driver.power_off(self.spec)
        self.assertIs(State.SHUTDOWN, self.state())

        self.driver.power_on(self.spec)
        self.driver.power_on(self.spec)

        self.assertIs(State.RUNNING, self.state())

    def test_what_takes_one_call_holds_the_lock_too(self) -> None:
        for verb, method in ((self.driver.pause, 'suspend'),
                             (self.driver.unpause, 'resume'),
                             (self.driver.suspend, 'managedSave')):
            with (self.subTest(method), futures.ThreadPoolExecutor(1) as pool,
                  self.hypervisor.block(method, 1) as hang):
                pool.submit(verb, self.spec)
                self.assertTrue(hang.wait_entered())

                self.assertIn(f'{self.spec.uuid}@here.lock',
                              os.listdir(self.journal.folder))

    def test_a_suspended_guest_is_resumed_and_not_started(self) -> None:
        self.driver.suspend(self.spec)

        self.assertRaises(
            exception.WrongState, self.driver.power_on, self.spec)
        self.driver.resume(self.spec)

        self.assertIs(State.RUNNING, self.state())
        self.assertRaises(
            exception.WrongState, self.driver.resume, self.spec)

    def test_a_guest_whose_domain_is_lost_comes_back(self) -> None:
        self.hypervisor.guests.clear()

        self.driver.resume_state_on_host_boot(self.spec)

        self.assertIs(State.RUNNING, self.state())

    def test_a_hard_reboot_makes_the_domain_anew(self) -> None:
        self.driver.rename(self.spec, 'web <2>')
        spec = self.driver.get_spec(self.spec)

        self.driver.reboot(spec, guest_spec.RebootType.HARD)

        self.assertEqual(
            'web <2>',
            reach.mark_in(self.driver.get_domain_xml(spec)))
        self.assertIs(State.RUNNING, self.state())

    def test_a_disk_keeps_the_format_that_its_domain_has(self) -> None:
        spec, folder = self.spec, self.folder(self.spec)
        disk, kept = str(folder / 'disk'), str(folder / 'disk.info')
        # As Nova's own driver leaves it after it has converted the disk.
        record.write(kept, disk, 'raw')

        self.driver.reboot(spec, guest_spec.RebootType.HARD)

        self.assertIn("type='qcow2'", self.driver.get_domain_xml(
            spec).replace('"', "'"))
        self.assertEqual('qcow2', record.read(kept, disk))

    def test_a_guest_without_its_disk_is_not_rebooted(self) -> None:
        os.unlink(self.folder(self.spec) / 'disk')

        error = self.assertRaises(
            exception.StorageFailure, self.driver.reboot, self.spec,
            guest_spec.RebootType.HARD)

        self.assertIn('is gone', str(error))
        self.assertIs(State.RUNNING, self.state())

    def test_a_root_disk_grows_and_never_shrinks(self) -> None:
        self.driver.power_off(self.spec)

        self.driver.resize_root_disk(self.spec, 1)

        self.assertEqual(1, self.driver.get_spec(
            self.spec).storage.root_gib)
        self.assertRaises(exception.InvalidRequest,
                          self.driver.resize_root_disk, self.spec, 0)

    def test_a_resize_that_fails_records_nothing(self) -> None:
        self.driver.power_off(self.spec)
        before = self.driver.get_spec(self.spec)
        for number in range(1, 4):
            with self.subTest(number=number):
                self.assertRaises(
                    fake_progress.Stopped, self.driver.resize_root_disk,
                    self.spec, 1,
                    progress=fake_progress.FailingProgress(number))

                self.assertEqual(before, self.driver.get_spec(self.spec))

    def test_a_suspended_guest_gets_no_soft_reboot(self) -> None:
        self.driver.suspend(self.spec)

        error = self.assertRaises(
            exception.WrongState, self.driver.reboot, self.spec,
            guest_spec.RebootType.SOFT)

        self.assertIn('suspended', str(error))
        self.driver.resume(self.spec)


class ImageCareTest(whole.WholeTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.config.config(
            group='image_cache',
            remove_unused_original_minimum_age_seconds=0)
        self.driver = self.make_driver()
        self.unused = self.images.add(b'\0' * 512, name='unused')
        self.assertTrue(self.driver.cache_image(self.unused.id))
        self.path = os.path.join(
            self.instances_path, '_base', image_cache.key_of(self.unused.id))
        self.age()

    def age(self) -> None:
        """Make the last use of the unused image long ago."""
        for path in (self.path, f'{self.path}.json'):
            os.utime(path, (0, 0))

    def test_only_images_that_no_disk_uses_are_removed(self) -> None:
        self.driver.spawn(self.guest())
        self.assertFalse(self.driver.cache_image(self.unused.id))
        self.age()

        removed = self.driver.manage_image_cache()

        self.assertEqual([self.path], removed)
        self.assertTrue(self.driver.cache_image(self.unused.id))
        self.assertFalse(self.driver.cache_image(self.image.id))

    def test_an_image_that_others_need_stays(self) -> None:
        self.assertEqual(
            [], self.driver.manage_image_cache([self.unused.id]))

    def test_an_image_of_a_domain_that_is_not_ours_stays(self) -> None:
        for xml in (
                '<disk type="file"><source file="/elsewhere/disk"/>'
                f'<backingStore type="file"><source file="{self.path}"/>'
                '</backingStore></disk>',
                f'<disk type="file"><source file="{self.path}"/></disk>',
                f'<disk type="file"><source file="{self.overlay()}"/></disk>'):
            with self.subTest(xml=xml):
                self.hypervisor.add_guest(
                    'foreign', state=libvirt.VIR_DOMAIN_SHUTOFF,
                    xml='<domain><name>foreign</name><devices>'
                    f'{xml}</devices></domain>')

                self.assertEqual([], self.driver.manage_image_cache())
                self.hypervisor.guests.clear()

    def test_nothing_is_removed_when_that_is_switched_off(self) -> None:
        self.config.config(
            group='image_cache', remove_unused_base_images=False)
        self.age()
        driver = self.make_driver()

        self.assertEqual([], driver.manage_image_cache())
        self.assertEqual([self.path], driver.manage_image_cache(min_age_s=60))

    def overlay(self) -> str:
        """Return a disk elsewhere that is based on the image."""
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'disk')
        subprocess.check_call(
            ['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b',
             self.path, path])
        return path
