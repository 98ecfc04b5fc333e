# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_guest
from tests.unit.operations import verbs


class UnpauseTest(verbs.VerbTestCase):

    def test_guest_is_paused_and_goes_on(self) -> None:
        added = self.add_guest()
        guest = self.find()

        for act, state in ((guest.pause, libvirt.VIR_DOMAIN_PAUSED),
                           (guest.unpause, libvirt.VIR_DOMAIN_RUNNING)):
            act()
            act()

            self.assertEqual(state, added.state)

    def stop_by_storage(self, number: int) -> fake_guest.Guest:
        """Let QEMU pause a guest because of its disk."""
        added = self.add_guest(state=libvirt.VIR_DOMAIN_PAUSED)
        added.reason = libvirt.VIR_DOMAIN_PAUSED_IOERROR
        added.disk_errors = {'vda': number}
        return added

    def test_guest_that_is_paused_again_is_not_unpaused(self) -> None:
        for number, words in (
                (libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE, 'has no room'),
                (libvirt.VIR_DOMAIN_DISK_ERROR_UNSPEC, 'disk vda fails')):
            self.hypervisor.guests.clear()
            self.stop_by_storage(number)

            error = self.assertRaises(
                exception.WrongState, self.find().unpause)

            self.assertIn(words, str(error))
            self.assertIn('then unpause', error.next_step)

    def test_guest_whose_disk_fails_a_moment_later_is_not_unpaused(
            self) -> None:
        added = self.stop_by_storage(
            libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE)
        added.disk_errors = {}

        def fail_again() -> None:
            added.state = libvirt.VIR_DOMAIN_PAUSED
            added.reason = libvirt.VIR_DOMAIN_PAUSED_IOERROR

        self.clock.at(1.0, fail_again)

        self.assertRaises(exception.WrongState, self.find().unpause)

    def test_guest_whose_disk_has_room_again_goes_on(self) -> None:
        added = self.stop_by_storage(
            libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE)
        added.disk_errors = {}

        self.find().unpause()

        self.assertEqual(libvirt.VIR_DOMAIN_RUNNING, added.state)

    def test_stopped_guest_is_in_the_wrong_state(self) -> None:
        self.add_guest(state=libvirt.VIR_DOMAIN_SHUTOFF)

        for act in (self.find().pause, self.find().unpause):
            self.assertRaises(exception.WrongState, act)
