# SPDX-License-Identifier: Apache-2.0

from typing import Any

import libvirt

from nova_libvirt_driver.calls import turn as turn_module
from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import inbox as inbox_module
from nova_libvirt_driver.testing import fake_libvirt
from tests import base

SET_UP = ('setKeepAlive', 'registerCloseCallback',
          'domainEventRegisterAny', 'getAllDomainStats')


def error(
        code: int, domain: int = libvirt.VIR_FROM_NONE
) -> libvirt.libvirtError:
    return fake_libvirt.libvirt_error(code, domain, 'what libvirt says')


class SessionTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor = fake_libvirt.FakeHypervisor()
        self.guest = self.hypervisor.add_guest('guest')
        self.inbox = inbox_module.make()
        self.subscriptions = inbox_module.Subscriptions(
            lambda: self.lifecycle, self.inbox)
        self.renew()

    def renew(self) -> None:
        """Use a session on another connection."""
        self.connection = fake_libvirt.FakeConnection(
            self.hypervisor, 'fake:///system')
        self.hypervisor.connections.append(self.connection)
        turn = turn_module.Turn(host='here', timeout_s=5)
        self.session = session_module.Session(
            self.connection, self.connection, turn, generation=7)

    def lifecycle(self, *args: Any) -> None:
        self.inbox.put(args)

    def set_up(self) -> None:
        self.session.set_up(
            settings_module.Settings(
                'here', settings_module.Credentials('', '', ''),
                keepalive_interval_s=3, keepalive_count=4),
            self.subscriptions)

    def items(self) -> list[Any]:
        """Take everything out of the inbox."""
        return [self.inbox.get() for _ in range(self.inbox.qsize())]

    def test_complete_one_has_no_problem(self) -> None:
        self.set_up()

        self.assertEqual([], self.session.problems)
        self.assertEqual((3, 4), self.connection.keepalive)
        self.assertTrue(self.session.vouched_for)
        self.assertTrue(self.session.events)
        self.assertTrue(self.session.turn.needed)

    def test_listing_is_in_the_inbox_before_later_events(self) -> None:
        self.set_up()
        self.hypervisor.emit(
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self.guest, 5, 0)

        listed, happened = self.items()

        self.assertIsInstance(listed, inbox_module.Listed)
        self.assertEqual(7, listed.generation)
        self.assertEqual(['guest'], [one.name for one in listed.reports])
        self.assertIsInstance(listed.reports[0], decode.Report)
        self.assertEqual(7, happened[-1])

    def test_break_is_noted_at_once_and_told_with_its_reason(self) -> None:
        self.set_up()
        self.items()

        self.connection.break_(libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE)

        self.assertTrue(self.session.closed)
        self.assertFalse(self.session.vouched_for)
        [closed] = self.items()
        self.assertEqual((7, 'keepalive got no answer'),
                         (closed.generation, closed.words))

    def test_unknown_reason_has_words_too(self) -> None:
        self.assertEqual('reason 99', inbox_module.Closed(1, 99).words)

    def test_link_that_breaks_in_the_set_up_is_an_error(self) -> None:
        for method in SET_UP:
            with self.subTest(method):
                self.hypervisor.fail_next(method, error(
                    libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC))

                self.assertRaises(libvirt.libvirtError, self.set_up)

                self.assertEqual([], self.items())
                self.session.close()
                self.assertEqual(0, self.connection.callback_count)
                self.renew()

    def test_without_keepalive_nobody_vouches(self) -> None:
        self.hypervisor.keepalive = False

        self.set_up()

        self.assertFalse(self.session.vouched_for)
        self.assertFalse(self.session.turn.needed)
        self.assertEqual([], self.session.problems)

    def test_keepalive_that_fails_leaves_the_turns(self) -> None:
        self.hypervisor.fail_next(
            'setKeepAlive', error(libvirt.VIR_ERR_NO_MEMORY))

        self.set_up()

        self.assertFalse(self.session.vouched_for)
        self.assertTrue(self.session.turn.needed)

    def test_missing_close_callback_is_a_problem(self) -> None:
        problem = error(libvirt.VIR_ERR_NO_SUPPORT)
        self.hypervisor.fail_next('registerCloseCallback', problem)

        self.set_up()

        self.assertEqual([problem], self.session.problems)
        self.assertFalse(self.session.vouched_for)
        self.assertTrue(self.session.events)

    def test_missing_lifecycle_events_are_one_problem(self) -> None:
        self.hypervisor.events = False

        self.set_up()

        [problem] = self.session.problems
        assert isinstance(problem, inbox_module.Missing)
        self.assertEqual('VIR_DOMAIN_EVENT_ID_LIFECYCLE', problem.name)
        self.assertFalse(self.session.events)
        [listed] = self.items()
        self.assertIsNone(listed.reports)
        self.assertNotIn('getAllDomainStats', self.hypervisor.calls)

    def test_listing_that_fails_is_a_problem(self) -> None:
        problem = error(libvirt.VIR_ERR_NO_MEMORY)
        self.hypervisor.fail_next('getAllDomainStats', problem)

        self.set_up()

        self.assertEqual([problem], self.session.problems)
        [listed] = self.items()
        self.assertIsNone(listed.reports)
        self.assertTrue(self.session.events)

    def test_close_leaves_nothing_registered(self) -> None:
        self.set_up()

        self.session.close()

        self.assertEqual(0, self.connection.callback_count)
        self.assertTrue(self.connection.closed)

    def test_close_of_a_broken_one_does_so_too(self) -> None:
        self.set_up()
        self.connection.break_()

        self.session.close()

        self.assertEqual(0, self.connection.callback_count)
        self.assertTrue(self.connection.closed)

    def test_close_twice_does_nothing_more(self) -> None:
        self.set_up()
        self.session.close()

        self.session.close()

        self.assertEqual(1, self.hypervisor.calls['close'])
