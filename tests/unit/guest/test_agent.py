# SPDX-License-Identifier: Apache-2.0

import threading
import traceback

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import agent
from nova_libvirt_driver.guest import freeze
from tests import guests
from tests.unit.guest import handles

CANARY = 'canary-f3f1c0'


class AgentTest(handles.HandleTestCase):

    def test_file_systems_are_frozen_and_thawed(self) -> None:
        added = self.add_guest(agent=True)
        found = self.find().agent

        self.assertTrue(found.is_connected())
        self.assertEqual(1, found.freeze())
        self.assertTrue(added.frozen)
        self.assertEqual(1, found.thaw())
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
        found = self.find().agent

        self.assertFalse(found.is_connected())
        self.assertRaises(exception.AgentUnavailable, found.freeze)
        self.assertRaises(exception.AgentUnavailable, found.thaw)

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


class ComingAgentTest(handles.HandleTestCase):
    """An agent that is not connected yet, in a guest that boots."""

    def setUp(self) -> None:
        super().setUp()
        self.now_s = 0.0
        self.pauses = 0
        self.comes_at_s: float | None = None
        self.reached.waits.clock = lambda: self.now_s
        self.reached.waits.pause = self._pause

    def _pause(self, woken: threading.Event, seconds: float) -> None:
        self.pauses += 1
        self.now_s += seconds
        if self.comes_at_s is not None and self.now_s >= self.comes_at_s:
            self.comes_at_s = None
            self.hypervisor.connect_agent(self.added)
            if self.hypervisor.events:
                # Events come on a thread, in real time.
                self.assertTrue(woken.wait(10))

    def test_it_is_waited_for(self) -> None:
        for act in (freeze.freeze, freeze.check,
                    lambda guest: guest.agent.set_user_password('root', 'x')):
            self.added = self.add_guest()
            self.comes_at_s = self.now_s + 2.0

            act(self.find())

            self.assertTrue(
                act is freeze.check or self.added.frozen
                or self.added.passwords)
            self.assertEqual(2.0, self.now_s % 100)
            self.now_s = 100.0
            self.hypervisor.guests.clear()

    def test_while_events_arrive_nobody_looks_for_it(self) -> None:
        self.added = self.add_guest()
        guest = self.find()
        self.comes_at_s = 3.0
        before = self.hypervisor.calls.get('XMLDesc', 0)

        guest.agent.await_connected()

        self.assertEqual(before + 1, self.hypervisor.calls['XMLDesc'])

    def test_without_events_it_is_looked_for(self) -> None:
        self.hypervisor.events = False
        self.hypervisor.break_connections()
        self.added = self.add_guest()
        self.comes_at_s = 1.0

        self.find().agent.await_connected()

        self.assertTrue(1.0 <= self.now_s < 5.0, self.now_s)

    def test_one_that_does_not_come_is_named(self) -> None:
        self.added = self.add_guest()

        error = self.assertRaises(
            exception.AgentUnavailable, freeze.freeze, self.find())

        self.assertEqual(agent.CONNECT_TIMEOUT_S, self.now_s)
        self.assertIn(handles.UUID, str(error))
        self.assertIn('not connected', str(error))
        self.assertIn('qemu-guest-agent', error.next_step)
        self.assertNotIn('fsThaw', self.hypervisor.calls)

    def test_nobody_waits_for_what_cannot_come(self) -> None:
        for fields, kind in (
                ({'devices': ()}, exception.AgentUnavailable),
                ({'state': libvirt.VIR_DOMAIN_PAUSED},
                 exception.AgentUnavailable),
                ({'state': libvirt.VIR_DOMAIN_SHUTOFF},
                 exception.WrongState)):
            with self.subTest(fields):
                self.hypervisor.guests.clear()
                self.added = self.add_guest(**fields)

                self.assertRaises(kind, freeze.freeze, self.find())

        self.assertEqual(0, self.pauses)
