# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.operations import suspend
from tests import guests
from tests.unit.operations import verbs


class SuspendTest(verbs.VerbTestCase):

    def suspend(self, timeout_s: float = 60) -> None:
        suspend.Suspend(
            self.guests, self.exclusive,
            timeout_s=timeout_s).suspend(verbs.INSTANCE)

    def test_memory_is_saved_and_the_guest_stopped(self) -> None:
        added = self.add_guest()

        self.suspend()

        self.assertTrue(added.saved)
        self.assertFalse(added.active)

    def test_guest_goes_on_after_a_failure(self) -> None:
        added = self.add_guest()
        self.hypervisor.fail_next('managedSave', guests.failure(
            libvirt.VIR_ERR_OPERATION_FAILED, 'no space left on device'))

        error = self.assertRaises(exception.LibvirtFailure, self.suspend)

        self.assertIn('no space left', str(error))
        self.assertEqual(libvirt.VIR_DOMAIN_RUNNING, added.state)

    def test_save_that_takes_too_long_is_aborted(self) -> None:
        added = self.add_guest()
        with self.hypervisor.block('managedSave'):
            self.assertRaises(exception.CallTimeout, self.suspend, 0.05)

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
                self.suspend(0.05)

    def test_stopped_guest_is_in_the_wrong_state(self) -> None:
        self.add_guest(state=libvirt.VIR_DOMAIN_SHUTOFF)

        self.assertRaises(exception.WrongState, self.suspend)
