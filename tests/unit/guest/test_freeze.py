# SPDX-License-Identifier: Apache-2.0

import threading

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import freeze
from tests import guests
from tests.unit.operations import verbs


def mute() -> libvirt.libvirtError:
    return guests.failure(libvirt.VIR_ERR_AGENT_UNRESPONSIVE, 'mute')


def lost() -> libvirt.libvirtError:
    return guests.failure(
        libvirt.VIR_ERR_INTERNAL_ERROR, domain=libvirt.VIR_FROM_RPC)


class FrozenTest(verbs.VerbTestCase):

    def test_guest_is_frozen_meanwhile_only(self) -> None:
        added = self.add_guest(agent=True)

        with freeze.frozen(self.find()) as is_frozen:
            self.assertTrue(is_frozen)
            self.assertTrue(added.frozen)

        self.assertFalse(added.frozen)

    def test_guest_is_thawed_after_a_failure(self) -> None:
        added = self.add_guest(agent=True)

        def fail() -> None:
            with freeze.frozen(self.find()):
                raise ValueError('in between')

        self.assertRaises(ValueError, fail)
        self.assertFalse(added.frozen)

    def test_without_an_agent_nothing_is_frozen(self) -> None:
        self.add_guest()

        with freeze.frozen(self.find()) as is_frozen:
            self.assertFalse(is_frozen)

        self.assertNotIn('fsFreeze', self.hypervisor.calls)
        self.assertNotIn('fsThaw', self.hypervisor.calls)

    def test_agent_that_refuses_is_thawed_and_left_alone(self) -> None:
        self.add_guest(agent=True)
        self.hypervisor.fail_next('fsFreeze', mute())

        with freeze.frozen(self.find()) as is_frozen:
            self.assertFalse(is_frozen)

        self.assertEqual(1, self.hypervisor.calls['fsThaw'])
        self.assertIn('without freezing', self.log.output)

    def test_a_connection_lost_meanwhile_is_no_reason_to_stay_frozen(
            self) -> None:
        added = self.add_guest(agent=True)
        self.hypervisor.fail_next('fsFreeze', lost())

        self.assertRaises(
            exception.HypervisorUnavailable, freeze.freeze, self.find())

        self.assertEqual(1, self.hypervisor.calls['fsThaw'])
        self.assertFalse(added.frozen)

    def test_what_stays_frozen_without_a_connection_is_logged(self) -> None:
        self.add_guest(agent=True)

        with freeze.frozen(self.find(), outage_s=0.1):
            self.hypervisor.refuse_connections()
            self.hypervisor.break_connections()

        self.assertIn('may still be frozen', self.log.output)

    def test_a_connection_that_comes_back_thaws(self) -> None:
        added = self.add_guest(agent=True)

        with freeze.frozen(self.find()):
            self.hypervisor.refuse_connections()
            self.hypervisor.break_connections()
            timer = threading.Timer(1, self.hypervisor.accept_connections)
            timer.start()
            self.addCleanup(timer.join)

        self.assertFalse(added.frozen)
        self.assertNotIn('may still be frozen', self.log.output)

    def test_thaw_is_tried_again(self) -> None:
        added = self.add_guest(agent=True)
        for _ in range(2):
            self.hypervisor.fail_next('fsThaw', mute())

        with freeze.frozen(self.find()):
            pass

        self.assertFalse(added.frozen)

    def test_thaw_that_fails_for_good_is_logged(self) -> None:
        self.add_guest(agent=True)
        for _ in range(3):
            self.hypervisor.fail_next('fsThaw', mute())

        with freeze.frozen(self.find()):
            pass

        self.assertIn('may still be frozen', self.log.output)


class FreezeTest(verbs.VerbTestCase):

    def test_failure_is_told_after_an_attempt_to_thaw(self) -> None:
        self.add_guest(agent=True)
        self.hypervisor.fail_next('fsFreeze', mute())

        self.assertRaises(
            exception.AgentUnavailable, freeze.freeze, self.find())

        self.assertEqual(1, self.hypervisor.calls['fsThaw'])

    def test_thaw_of_a_stopped_guest_is_wrong(self) -> None:
        self.add_guest(state=libvirt.VIR_DOMAIN_SHUTOFF)

        self.assertRaises(exception.WrongState, freeze.thaw, self.find())
