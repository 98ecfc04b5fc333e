# SPDX-License-Identifier: Apache-2.0

import traceback
from typing import Any

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import freeze
from nova_libvirt_driver.spec import device as device_spec
from tests import guests
from tests.unit.operations import verbs

CANARY = 'canary-b5a0e7'
SHUTOFF = libvirt.VIR_DOMAIN_SHUTOFF


class AdminPasswordTest(verbs.VerbTestCase):

    def set(
            self, password: str = CANARY, user: str = '',
            **features: Any) -> None:
        self.find().agent.set_user_password(
            user or device_spec.FeatureSpec(**features).administrator,
            password)

    def test_password_of_the_administrator_is_set(self) -> None:
        added = self.add_guest(agent=True)

        self.set()

        self.assertEqual({'root': CANARY}, added.passwords)

    def test_administrator_may_have_another_name(self) -> None:
        added = self.add_guest(agent=True)
        windows = device_spec.OsType.WINDOWS
        for name, asked in (
                ('Administrator', {'os_type': windows}),
                ('cloud', {'admin_user': 'cloud'}),
                ('chef', {'admin_user': 'chef', 'os_type': windows}),
                ('nova', {'user': 'nova', 'admin_user': 'cloud'})):
            with self.subTest(name):
                added.passwords.clear()

                self.set(**asked)

                self.assertEqual({name: CANARY}, added.passwords)

    def test_no_failure_tells_the_password(self) -> None:
        self.add_guest(agent=True)
        for code, text, kind in (
                (libvirt.VIR_ERR_AGENT_UNRESPONSIVE, 'mute',
                 exception.AgentUnavailable),
                (libvirt.VIR_ERR_INTERNAL_ERROR,
                 f'unable to execute QEMU agent command: {CANARY}',
                 exception.AgentUnavailable),
                (libvirt.VIR_ERR_NO_SUPPORT, 'no such function',
                 exception.UnsupportedOperation)):
            self.hypervisor.fail_next(
                'setUserPassword', guests.failure(code, text))

            error = self.assertRaises(kind, self.set)

            self.assertNotIn(CANARY, ''.join(
                traceback.format_exception(error)))
        self.assertNotIn(CANARY, self.log.output)

    def test_empty_password_is_refused(self) -> None:
        added = self.add_guest(agent=True)

        self.assertRaises(exception.InvalidRequest, self.set, '')

        self.assertEqual({}, added.passwords)

    def test_stopped_guest_is_in_the_wrong_state(self) -> None:
        self.add_guest(state=SHUTOFF)

        self.assertRaises(exception.WrongState, self.set)


class QuiesceTest(verbs.VerbTestCase):

    def test_file_systems_are_frozen_until_they_are_thawed(self) -> None:
        added = self.add_guest(agent=True)

        freeze.freeze(self.find())
        self.assertTrue(added.frozen)
        freeze.thaw(self.find())
        freeze.thaw(self.find())

        self.assertFalse(added.frozen)

    def test_guest_without_an_agent_is_told(self) -> None:
        self.add_guest()

        for act in (freeze.freeze, freeze.thaw):
            self.assertRaises(
                exception.AgentUnavailable, act, self.find())


class CrashDumpTest(verbs.VerbTestCase):

    def test_interrupt_is_sent(self) -> None:
        self.add_guest()

        self.find().inject_nmi()

        self.assertEqual(1, self.hypervisor.calls['injectNMI'])

    def test_stopped_guest_is_in_the_wrong_state(self) -> None:
        self.add_guest(state=SHUTOFF)

        self.assertRaises(
            exception.WrongState, self.find().inject_nmi)
