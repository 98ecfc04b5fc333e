# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import devices
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_devices
from nova_libvirt_driver.testing import fake_progress
from tests.unit.operations import whole


class RescueTest(whole.WholeTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.spec = self.guest()
        self.driver.spawn(self.spec)
        self.before = self.driver.get_domain_xml(self.spec, inactive=True)

    def disks(self) -> list[str]:
        """Return the file names of the disks, in their order."""
        found = devices.read(self.driver.get_domain_xml(self.spec)).disks
        return [devices.source_of(disk).rpartition('/')[2] for disk in found]

    def test_the_rescue_disk_is_first_and_gone_afterwards(self) -> None:
        files = self.remains()

        self.driver.rescue(self.spec, self.image.id)
        self.assertEqual(['disk.rescue', 'disk'], self.disks())
        self.driver.unrescue(self.spec)

        self.assertEqual(['disk'], self.disks())
        self.assertEqual(files, self.remains())

    def test_a_stable_device_keeps_its_place(self) -> None:
        self.driver.rescue(self.spec, self.image.id,
                           stable_device=disk_spec.RescueDevice())

        self.assertEqual(['disk', 'disk.rescue'], self.disks())

    def test_a_person_s_disk_waits_for_the_end_of_the_rescue(self) -> None:
        guest, = self.hypervisor.guests
        guest.definition = fake_devices.plugged(guest.definition, """
            <disk type="file"><source file="/srv/added"/>
            <target dev="vdb" bus="virtio"/><serial>data</serial></disk>""")

        self.driver.rescue(self.spec, self.image.id)
        self.assertEqual(['disk.rescue', 'disk'], self.disks())
        self.driver.unrescue(self.spec)

        self.assertEqual(['disk', 'added'], self.disks())

    def test_each_step_that_fails_leaves_the_guest_as_it_was(self) -> None:
        files = self.remains()
        number, failed = 1, True
        while failed:
            progress = fake_progress.FailingProgress(number)
            try:
                self.driver.rescue(
                    self.spec, self.image.id, progress=progress)
            except fake_progress.Stopped:
                self.assertEqual(files, self.remains(), str(progress.steps))
                self.assertEqual(self.before, self.driver.get_domain_xml(
                    self.spec, inactive=True))
                self.assertIs(
                    instance_spec.PowerState.RUNNING,
                    self.driver.get_info(self.spec, use_cache=False).state)
            failed = progress.raised
            number += 1

        self.assertGreater(number, 6)

    def test_twice_or_never_is_refused(self) -> None:
        self.assertRaises(
            exception.WrongState, self.driver.unrescue, self.spec)
        self.driver.rescue(self.spec, self.image.id)

        self.assertRaises(exception.WrongState, self.driver.rescue,
                          self.spec, self.image.id)

    def test_a_rescued_guest_stays_so_until_it_is_unrescued(self) -> None:
        self.driver.rescue(self.spec, self.image.id)

        self.assertRaises(
            exception.WrongState, self.driver.reboot, self.spec,
            guest_spec.RebootType.HARD)
        self.driver.power_off(self.spec)
        self.driver.power_on(self.spec)

        self.assertEqual(['disk.rescue', 'disk'], self.disks())
