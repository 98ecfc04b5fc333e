# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver import exception
from tests import guests
from tests.unit.guest import handles


class SaveTest(handles.HandleTestCase):

    def save(self, timeout_s: float = 60) -> None:
        self.find().save(timeout_s=timeout_s)

    def test_memory_is_saved_and_the_guest_stopped(self) -> None:
        added = self.add_guest()

        self.save()

        self.assertTrue(added.saved)
        self.assertFalse(added.active)

    def test_guest_goes_on_after_a_failure(self) -> None:
        added = self.add_guest()
        self.hypervisor.fail_next('managedSave', guests.failure(
            libvirt.VIR_ERR_OPERATION_FAILED, 'no space left on device'))

        error = self.assertRaises(exception.LibvirtFailure, self.save)

        self.assertIn('no space left', str(error))
        self.assertEqual(libvirt.VIR_DOMAIN_RUNNING, added.state)

    def test_save_that_takes_too_long_is_aborted(self) -> None:
        added = self.add_guest()
        with self.hypervisor.block('managedSave'):
            self.assertRaises(exception.CallTimeout, self.save, 0.05)

            self.assertEqual(1, self.hypervisor.calls['abortJob'])
            self.assertTrue(added.active)

    def test_save_that_ends_just_then_has_succeeded(self) -> None:
        added = self.add_guest()
        with self.hypervisor.block('managedSave'):
            with self.hypervisor.block('abortJob') as abort:
                # The answer is late: the guest is saved meanwhile.
                added.state = libvirt.VIR_DOMAIN_SHUTOFF
                added.saved = True
                abort.release()
                self.save(0.05)

    def test_stopped_guest_is_in_the_wrong_state(self) -> None:
        self.add_guest(state=libvirt.VIR_DOMAIN_SHUTOFF)

        self.assertRaises(exception.WrongState, self.save)
