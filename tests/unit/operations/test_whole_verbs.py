# SPDX-License-Identifier: Apache-2.0

"""Destroying, starting, rebooting, resizing; and keeping the cache."""

import os

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import owner
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
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
            owner.Mark('web <2>'),
            owner.mark_in(self.driver.get_domain_xml(spec)))
        self.assertIs(State.RUNNING, self.state())

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

    def test_only_images_that_nobody_uses_are_removed(self) -> None:
        self.config.config(
            group='image_cache',
            remove_unused_original_minimum_age_seconds=0)
        driver = self.make_driver()
        driver.spawn(self.guest())
        unused = self.images.add(b'\0' * 512, name='unused')
        self.assertTrue(driver.cache_image(unused.id))
        self.assertFalse(driver.cache_image(unused.id))

        removed = driver.manage_image_cache()

        self.assertEqual(1, len(removed))
        self.assertTrue(driver.cache_image(unused.id))
        self.assertFalse(driver.cache_image(self.image.id))
