# SPDX-License-Identifier: Apache-2.0

import time

from nova_libvirt_driver.calls import calls
from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver.calls import turn as turn_module
from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from tests import base

wait_until = fake_ports.wait_until


class RetiredTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor = fake_libvirt.FakeHypervisor()
        self.calls = calls.make(host='here', limit=2)
        self.retired = session_module.Retired(self.calls, timeout_s=5)

    def session(self) -> session_module.Session:
        """Return a session on a connection of its own."""
        connection = fake_libvirt.FakeConnection(
            self.hypervisor, 'fake:///system')
        self.hypervisor.connections.append(connection)
        return session_module.Session(
            connection, connection,
            turn_module.Turn(host='here', timeout_s=5), generation=1)

    def closed(self) -> list[bool]:
        return [one.closed for one in self.hypervisor.connections]

    def test_nothing_to_close_is_everything(self) -> None:
        self.assertTrue(self.retired.close())

    def test_taking_one_closes_nothing(self) -> None:
        self.retired.add(self.session())

        self.assertEqual([False], self.closed())

    def test_closes_each_once(self) -> None:
        for _ in range(3):
            self.retired.add(self.session())

        self.assertTrue(self.retired.close())
        self.assertTrue(self.retired.close())

        self.assertEqual([True] * 3, self.closed())
        self.assertEqual(3, self.hypervisor.calls['close'])

    def test_waits_for_the_call_inside_and_closes_the_others(self) -> None:
        used, idle = self.session(), self.session()

        with used.turn.taken('a call that hangs'):
            self.retired.add(used)
            self.retired.add(idle)
            started = time.monotonic()
            self.assertFalse(self.retired.close())
            self.assertLess(time.monotonic() - started, 20)
            self.assertEqual([False, True], self.closed())

        self.assertTrue(self.retired.close())
        self.assertEqual([True, True], self.closed())

    def test_nobody_comes_in_while_it_is_closed(self) -> None:
        session = self.session()
        self.retired.add(session)
        with self.hypervisor.block('close') as hang:
            thread = runtime.Thread(target=self.retired.close)
            thread.start()
            self.assertTrue(hang.wait_entered())

            with session.turn.last(0.01) as is_taken:
                self.assertFalse(is_taken)
        thread.join(5)

        with session.turn.last(0) as is_taken:
            self.assertTrue(is_taken)

    def test_close_that_hangs_is_left_to_its_thread(self) -> None:
        retired = session_module.Retired(self.calls, timeout_s=0.1)
        retired.add(self.session())
        with self.hypervisor.block('close'):
            self.assertTrue(retired.close())
            self.assertEqual(1, self.calls.budget.abandoned)

        wait_until(lambda: self.closed() == [True], 'the close')
        wait_until(lambda: not self.calls.budget.running, 'the call to end')

    def test_one_that_no_call_is_left_for_is_kept(self) -> None:
        runner = calls.make(host='here', limit=1)
        retired = session_module.Retired(runner, timeout_s=5)
        with self.hypervisor.block('getLibVersion') as hang:
            inside = self.session()
            thread = runtime.Thread(target=lambda: runner.run(
                inside.raw.getLibVersion, name='hanging', timeout_s=20))
            thread.start()
            self.assertTrue(hang.wait_entered())
            retired.add(self.session())

            self.assertFalse(retired.close())
            self.assertEqual([False, False], self.closed())
        thread.join(5)

        self.assertTrue(retired.close())
        self.assertEqual([False, True], self.closed())

    def test_connection_that_is_broken_is_closed_too(self) -> None:
        self.retired.add(self.session())
        self.hypervisor.break_connections()

        self.assertTrue(self.retired.close())

        self.assertEqual([True], self.closed())
