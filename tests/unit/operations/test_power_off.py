# SPDX-License-Identifier: Apache-2.0

import pathlib
import threading

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.operations import power_off
from nova_libvirt_driver.testing import fake_ports
from tests.unit.operations import verbs

SHUTOFF = libvirt.VIR_DOMAIN_SHUTOFF


class PowerOffTest(verbs.VerbTestCase):

    def power_off(
            self, timeout_s: float = 0, retry_interval_s: float = 0) -> None:
        power_off.PowerOff(
            self.guests, self.exclusive).power_off(
                verbs.INSTANCE, timeout_s, retry_interval_s)

    def test_power_is_cut_at_once_without_a_time_out(self) -> None:
        added = self.add_guest()

        self.power_off()

        self.assertEqual(SHUTOFF, added.state)
        self.assertEqual(libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED, added.reason)
        self.assertNotIn('shutdown', self.hypervisor.calls)

    def test_guest_that_obeys_shuts_itself_down(self) -> None:
        added = self.add_guest()

        self.power_off(60, 10)

        self.assertEqual(libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN, added.reason)
        self.assertNotIn('destroy', self.hypervisor.calls)

    def test_power_is_cut_when_the_time_is_over(self) -> None:
        added = self.add_guest(obeys=False)

        self.power_off(60, 10)

        self.assertEqual(libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED, added.reason)
        self.assertAlmostEqual(60, self.clock.now_s)
        self.assertIn('cutting its power', self.log.output)

    def test_stopped_guest_is_fine(self) -> None:
        self.add_guest(state=SHUTOFF)

        self.power_off()
        self.power_off(60, 10)

        self.assertEqual(0.0, self.clock.now_s)
        self.assertNotIn('cutting its power', self.log.output)

    def test_paused_guest_loses_its_power_at_once(self) -> None:
        added = self.add_guest(state=libvirt.VIR_DOMAIN_PAUSED)

        self.power_off(60, 10)

        self.assertEqual(SHUTOFF, added.state)
        self.assertEqual(0.0, self.clock.now_s)

    def test_domain_of_somebody_else_runs_on(self) -> None:
        foreign = self.hypervisor.add_guest('one', uuid=verbs.INSTANCE.uuid)

        self.assertRaises(exception.ForeignDomain, self.power_off)

        self.assertTrue(foreign.active)

    def test_deletion_ends_the_wait(self) -> None:
        added = self.add_guest(obeys=False)
        self.clock.at(1, self._delete)

        error = self.assertRaises(
            exception.WrongState, self.power_off, 60, 10)

        self.assertIn('being deleted', str(error))
        self.assertTrue(added.active)

    def _delete(self) -> None:
        """Take the lock as a deletion does; return while it waits."""
        def take_over() -> None:
            with self.exclusive.take_over(verbs.INSTANCE, 'destroy'):
                pass

        thread = threading.Thread(target=take_over)
        self.addCleanup(thread.join, 10)
        thread.start()
        fake_ports.wait_until(
            lambda: list(pathlib.Path(
                self.instances_path).rglob('*.cancel')), 'the request')
