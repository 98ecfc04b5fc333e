# SPDX-License-Identifier: Apache-2.0

from typing import Any

import libvirt

from nova_libvirt_driver.calls import calls
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver.calls import turn as turn_module
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver.connection import settings
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from tests import base

wait_until = fake_ports.wait_until


class ChannelsTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor = fake_libvirt.FakeHypervisor()
        self.calls = calls.make(host='here', limit=8)
        self.channels = self.make(call_timeout_s=10)

    def make(self, **options: Any) -> link_module.Channels:
        return link_module.Channels(
            self.open, self.calls, settings.Settings(
                'here', settings.Credentials('', '', ''), **options))

    def open(self) -> Any:
        connection = fake_libvirt.FakeConnection(
            self.hypervisor, 'fake:///system')
        self.hypervisor.connections.append(connection)
        return connection

    def session(self, generation: int = 1) -> session_module.Session:
        raw = fake_libvirt.FakeConnection(self.hypervisor, 'fake:///system')
        turn = turn_module.Turn(host='here', timeout_s=10)
        return session_module.Session(raw, raw, turn, generation)

    def ask(
            self, session: session_module.Session,
            method: str = 'getHostname') -> Any:
        """Make a call on a channel; return the channel."""
        def call(channel: protocol.Connection) -> protocol.Connection:
            getattr(channel, method)()
            return channel

        return self.channels.run(session, call, name='asking')

    def closed(self) -> list[bool]:
        return [one.closed for one in self.hypervisor.connections]

    def test_call_has_a_connection_of_its_own(self) -> None:
        session = self.session()

        with session.turn.taken('a call that hangs'):
            channel = self.ask(session)

        self.assertIsNot(session.raw, channel)
        self.assertEqual((5, 5), channel.keepalive)

    def test_next_call_uses_it_again(self) -> None:
        session = self.session()

        self.assertIs(self.ask(session), self.ask(session))
        self.assertEqual([False], self.closed())

    def test_nobody_else_is_inside_it(self) -> None:
        session = self.session()
        with self.hypervisor.block('getHostname') as hang:
            thread = runtime.Thread(target=self.ask, args=(session,))
            thread.start()
            self.assertTrue(hang.wait_entered())

            other = self.ask(session, 'getLibVersion')
            self.assertIs(self.hypervisor.connections[1], other)
        thread.join(5)

    def test_few_are_kept(self) -> None:
        session = self.session()

        def meet(channel: protocol.Connection) -> None:
            """Hold this one until there are ten."""
            wait_until(lambda: len(self.hypervisor.connections) >= 10,
                       'ten of them')

        fake_ports.run_threads([lambda: self.channels.run(
            session, meet, name='meeting')] * 10, timeout_s=10)

        self.assertEqual(10, len(self.closed()))
        self.assertEqual(2, sum(self.closed()))

    def test_new_session_has_new_ones(self) -> None:
        old = self.ask(self.session(1))

        new = self.ask(self.session(2))

        self.assertIsNot(old, new)
        self.assertEqual([True, False], self.closed())

    def test_one_of_an_older_session_is_not_kept(self) -> None:
        old = self.session(1)
        with self.hypervisor.block('getHostname') as hang:
            thread = runtime.Thread(target=self.ask, args=(old,))
            thread.start()
            self.assertTrue(hang.wait_entered())
            self.ask(self.session(2), 'getLibVersion')
        thread.join(5)

        self.assertEqual([True, False], self.closed())

    def test_broken_one_is_closed_and_not_used_again(self) -> None:
        session = self.session()
        self.ask(session)
        self.hypervisor.break_connections()

        self.assertRaises(libvirt.libvirtError, self.ask, session)

        self.assertEqual([True], self.closed())
        self.ask(session)
        self.assertEqual([True, False], self.closed())

    def test_other_error_costs_no_connection(self) -> None:
        session = self.session()
        self.hypervisor.fail_next('getHostname', fake_libvirt.libvirt_error(
            libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_FROM_NONE, 'no memory'))

        self.assertRaises(libvirt.libvirtError, self.ask, session)
        self.ask(session)

        self.assertEqual([False], self.closed())

    def test_fault_of_the_function_leaks_no_connection(self) -> None:
        session = self.session()

        def fail(channel: protocol.Connection) -> None:
            raise ValueError('a fault')

        self.assertRaises(
            ValueError, self.channels.run, session, fail, name='asking')
        self.channels.close()

        self.assertEqual([True], self.closed())

    def test_keepalive_that_fails_leaks_no_connection(self) -> None:
        self.hypervisor.fail_next('setKeepAlive', fake_libvirt.libvirt_error(
            libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC, 'gone'))

        self.assertRaises(libvirt.libvirtError, self.ask, self.session())
        self.channels.close()

        self.assertEqual([True], self.closed())

    def test_call_without_a_place_leaks_no_connection(self) -> None:
        self.calls = calls.make(host='here', limit=1)
        self.channels = self.make(call_timeout_s=1)
        session = self.session()
        self.ask(session)
        hang = fake_fault.Hang()
        thread = runtime.Thread(target=lambda: self.calls.run(
            hang.hang, name='hanging', timeout_s=10))
        thread.start()
        self.assertTrue(hang.wait_entered())

        self.assertRaises(exception.CallBudgetExhausted, self.ask, session)
        hang.release()
        thread.join(5)
        self.channels.close()

        self.assertEqual([True], self.closed())

    def test_call_that_takes_too_long_is_closed_when_it_ends(self) -> None:
        self.channels = self.make(call_timeout_s=0.1)
        session = self.session()
        with self.hypervisor.block('getHostname'):
            self.assertRaises(exception.CallTimeout, self.ask, session)
            self.assertEqual([False], self.closed())

        wait_until(lambda: self.closed() == [True], 'the close')
        self.ask(session)
        self.assertEqual([True, False], self.closed())

    def test_one_whose_answer_was_not_liked_is_used_again(self) -> None:
        session = self.session()

        def dislike(channel: protocol.Connection) -> None:
            raise exception.ForeignDomain(instance='one', host='here')

        self.assertRaises(exception.ForeignDomain, self.channels.run,
                          session, dislike, name='asking')
        self.ask(session)

        self.assertEqual([False], self.closed())

    def test_call_may_have_a_deadline_of_its_own(self) -> None:
        session = self.session()
        with self.hypervisor.block('getHostname'):
            error = self.assertRaises(
                exception.CallTimeout, self.channels.run, session,
                lambda channel: channel.getHostname(), name='asking',
                timeout_s=0.05)

        self.assertEqual(0.05, error.fields['timeout_s'])
        wait_until(lambda: self.closed() == [True], 'the close')

    def test_hypervisor_in_the_process_needs_no_other(self) -> None:
        session = self.session()
        session.turn.needed = False

        self.assertIs(session.raw, self.ask(session))
        self.assertEqual([], self.hypervisor.connections)

    def test_close_closes_those_that_wait(self) -> None:
        self.ask(self.session())

        self.channels.close()
        self.channels.close()

        self.assertEqual([True], self.closed())
        self.assertEqual(1, self.hypervisor.calls['close'])

    def test_one_in_use_at_the_close_is_closed_afterwards(self) -> None:
        with self.hypervisor.block('getHostname') as hang:
            thread = runtime.Thread(
                target=self.ask, args=(self.session(),))
            thread.start()
            self.assertTrue(hang.wait_entered())
            self.channels.close()
        thread.join(5)

        self.assertEqual([True], self.closed())
