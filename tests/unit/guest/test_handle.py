# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_ports
from tests import guests
from tests.unit.guest import handles

_State = instance_spec.PowerState
_Transition = event.Transition

SHUTOFF = libvirt.VIR_DOMAIN_SHUTOFF
PAUSED = libvirt.VIR_DOMAIN_PAUSED


class PowerTest(handles.HandleTestCase):

    def test_state_and_reason_are_told(self) -> None:
        self.add_guest(reason=libvirt.VIR_DOMAIN_RUNNING_RESTORED)

        self.assertEqual(reach.GuestState(_State.RUNNING, 'restored'),
                         self.find().state())

    def test_every_change_is_followed_by_its_event(self) -> None:
        self.add_guest(state=SHUTOFF)
        guest = self.find()

        for act in (guest.start, guest.pause, guest.resume, guest.save,
                    guest.start, guest.destroy):
            act()

        expected = [
            _Transition.STARTED, _Transition.PAUSED, _Transition.RESUMED,
            _Transition.PAUSED, _Transition.SUSPENDED, _Transition.STARTED,
            _Transition.RESUMED, _Transition.STOPPED]
        fake_ports.wait_until(
            lambda: [item.transition for item in self.reached.events]
            == expected, f'{expected}, got {self.reached.events}')

    def test_guest_can_be_started_with_its_cpus_stopped(self) -> None:
        self.add_guest(state=SHUTOFF)

        self.find().start(paused=True)

        self.assertEqual(_State.PAUSED, self.find().state().power)

    def test_a_wrong_state_is_named(self) -> None:
        self.add_guest(state=SHUTOFF)
        guest = self.find()

        for act in (guest.pause, guest.resume, guest.shutdown,
                    guest.save, guest.inject_nmi):
            error = self.assertRaises(exception.WrongState, act)
            self.assertEqual('shutdown', error.fields['state'])
        guest.start()
        self.assertRaises(exception.WrongState, guest.start)

    def test_a_failure_in_the_right_state_is_libvirts(self) -> None:
        self.add_guest(state=SHUTOFF)
        self.hypervisor.fail_next('createWithFlags', guests.failure(
            libvirt.VIR_ERR_INTERNAL_ERROR, 'no such bridge'))

        error = self.assertRaises(
            exception.LibvirtFailure, self.find().start)

        self.assertIn('failed to start the guest: no such bridge',
                      str(error))

    def test_paused_or_running_already_is_fine(self) -> None:
        added = self.add_guest()
        guest = self.find()

        guest.resume()
        guest.pause()
        guest.pause()

        self.assertEqual(PAUSED, added.state)

    def test_guest_that_is_gone_is_not_found(self) -> None:
        guest = self.add_guest()
        found = self.find()
        self.hypervisor.remove_guest(guest)

        for ask in (found.state, found.start, found.destroy, found.xml):
            self.assertRaises(exception.InstanceNotFound, ask)

    def test_call_that_hangs_ends_at_its_deadline(self) -> None:
        self.add_guest()
        guest = self.find()
        with self.hypervisor.block('managedSave'):
            error = self.assertRaises(
                exception.CallTimeout, guest.save, timeout_s=0.05)

            self.assertIn('the call to save the guest', str(error))
            self.assertEqual(_State.RUNNING, guest.state().power)

    def test_handle_outlives_a_lost_connection(self) -> None:
        self.add_guest()
        guest = self.find()

        self.hypervisor.break_connections()
        fake_ports.wait_until(
            lambda: self.reached.link.current.generation > 1
            and self.reached.link.current.session, 'the next connection')

        self.assertEqual(_State.RUNNING, guest.state().power)


class DestroyTest(handles.HandleTestCase):

    def test_stopped_guest_is_fine(self) -> None:
        self.add_guest(state=SHUTOFF)

        self.find().destroy()

        self.assertEqual([], self.reached.events)

    def test_process_that_does_not_go_is_killed_again(self) -> None:
        added = self.add_guest()
        busy = guests.failure(libvirt.VIR_ERR_SYSTEM_ERROR,
                              'Failed to terminate process 7 with SIGKILL: '
                              'Device or resource busy')
        busy.err = (*busy.err[:7], 16, -1)
        self.hypervisor.fail_next('destroy', busy)
        self.hypervisor.fail_next('destroy', busy)

        self.find().destroy()

        self.assertEqual(SHUTOFF, added.state)
        self.assertEqual(3, self.hypervisor.calls['destroy'])

    def test_other_failures_are_told(self) -> None:
        self.add_guest()
        self.hypervisor.fail_next('destroy', guests.failure(
            libvirt.VIR_ERR_INTERNAL_ERROR))

        self.assertRaises(exception.LibvirtFailure, self.find().destroy)

        self.assertEqual(1, self.hypervisor.calls['destroy'])


class DefinitionTest(handles.HandleTestCase):

    def test_undefine_removes_saved_memory_too(self) -> None:
        self.add_guest(state=SHUTOFF, saved=True)

        self.find().undefine(keep_state=False)

        self.assertEqual([], self.hypervisor.guests)

    def test_driver_that_knows_few_flags_undefines_all_the_same(
            self) -> None:
        self.add_guest(state=SHUTOFF)
        for _ in range(2):
            self.hypervisor.fail_next('undefineFlags', guests.failure(
                libvirt.VIR_ERR_INVALID_ARG,
                'unsupported flags (0x14) in function testUndefine'))

        self.find().undefine(keep_state=True)

        self.assertEqual([], self.hypervisor.guests)

    def test_xml_shows_no_secret_and_the_next_start(self) -> None:
        added = self.add_guest()
        added.definition = handles.xml_of()

        guest = self.find()

        self.assertIn("id='1'", guest.xml().replace('"', "'"))
        self.assertIn('disk.config', guest.xml())
        self.assertNotIn('disk.config', guest.xml(inactive=True))

    def test_saved_memory_is_removed_once(self) -> None:
        added = self.add_guest(state=SHUTOFF, saved=True)
        guest = self.find()

        self.assertTrue(guest.has_saved())
        guest.remove_saved()
        guest.remove_saved()

        self.assertFalse(guest.has_saved())
        self.assertFalse(added.saved)
