# SPDX-License-Identifier: Apache-2.0

import traceback

import libvirt

from nova_libvirt_driver import exception
from tests import guests
from tests.unit.guest import handles

CANARY = 'canary-f3f1c0'


class AgentTest(handles.HandleTestCase):

    def test_file_systems_are_frozen_and_thawed(self) -> None:
        added = self.add_guest(agent=True)
        agent = self.find().agent

        self.assertTrue(agent.is_connected())
        self.assertEqual(1, agent.freeze())
        self.assertTrue(added.frozen)
        self.assertEqual(1, agent.thaw())
        self.assertFalse(added.frozen)

    def test_password_is_set(self) -> None:
        added = self.add_guest(agent=True)

        self.find().agent.set_user_password('root', CANARY)

        self.assertEqual({'root': CANARY}, added.passwords)

    def test_libvirt_does_not_wait_for_ever(self) -> None:
        added = self.add_guest(agent=True)

        self.find().agent.thaw(timeout_s=3)

        self.assertEqual(3, added.agent_timeout_s)

    def test_agent_that_is_not_connected_is_not_available(self) -> None:
        self.add_guest()
        agent = self.find().agent

        self.assertFalse(agent.is_connected())
        self.assertRaises(exception.AgentUnavailable, agent.freeze)
        self.assertRaises(exception.AgentUnavailable, agent.thaw)

    def test_guest_without_a_channel_has_no_agent(self) -> None:
        self.add_guest(devices=())

        error = self.assertRaises(
            exception.AgentUnavailable, self.find().agent.freeze)

        self.assertIn('not configured', str(error))
        self.assertFalse(self.find().agent.is_connected())

    def test_stopped_guest_is_in_the_wrong_state(self) -> None:
        self.add_guest(state=libvirt.VIR_DOMAIN_SHUTOFF, agent=True)

        self.assertRaises(exception.WrongState, self.find().agent.freeze)

    def test_a_password_that_the_guest_repeats_goes_nowhere(self) -> None:
        self.add_guest(agent=True)
        self.hypervisor.fail_next('setUserPassword', guests.failure(
            libvirt.VIR_ERR_INTERNAL_ERROR, 'internal error: unable to '
            "execute QEMU agent command 'guest-set-user-password': bad "
            f'password {CANARY}'))

        error = self.assertRaises(
            exception.AgentUnavailable,
            self.find().agent.set_user_password, 'root', CANARY)

        told = ''.join(traceback.TracebackException.from_exception(
            error, capture_locals=False).format())
        self.assertIn('refused to set the password', told)
        self.assertNotIn(CANARY, told)
