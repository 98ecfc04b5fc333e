# SPDX-License-Identifier: Apache-2.0

"""What becomes of the driver when a call or a caller is stuck."""

import importlib
import threading
from typing import Any
import unittest

import fixtures
import libvirt

from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from tests import base
from tests.unit import test_driver_faults

wait_until = fake_ports.wait_until

_State = connection_spec.ConnectionState
_LIFECYCLE = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
_STOPPED = libvirt.VIR_DOMAIN_EVENT_STOPPED


class VirConnection(
        fake_libvirt.FakeConnection,
        libvirt.virConnect):  # type: ignore[misc]
    """A connection whose calls take turns, like those of the library."""

    def __del__(self) -> None:
        # There is nothing of the library to free.
        pass


class TurnTest(test_driver_faults.FaultTestCase):
    """A call hangs, while it holds the turn of its connection."""

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch('libvirt.openAuth', self.open))

    def open(self, uri: str, auth: object, flags: int) -> VirConnection:
        connection = VirConnection(self.hypervisor, uri)
        self.hypervisor.connections.append(connection)
        return connection

    def hang_in_a_call(self) -> fake_fault.Hang:
        self.driver.init_host('here')
        hang = self.block('listAllDomains')
        connection: Any = self.driver._conn
        self.start(connection.listAllDomains)
        self.assertTrue(hang.wait_entered())
        return hang

    def test_nobody_comes_into_one_that_was_replaced(self) -> None:
        self.driver.init_host('here')
        old: Any = self.driver._conn

        self.driver._get_new_connection()

        self.refused(old.listAllDomains)
        self.assertEqual(0, self.calls['listAllDomains'])

    def test_cleanup_closes_it_when_the_call_ends(self) -> None:
        hang = self.hang_in_a_call()

        self.driver.cleanup_host('here')
        self.assertEqual(1, len(self.hypervisor.unclosed_connections()))
        hang.release()

        self.assert_none_left()

    def test_a_loss_closes_it_when_the_call_ends(self) -> None:
        self.remake(connect_timeout=0.2)
        hang = self.hang_in_a_call()

        self.hypervisor.break_connections()
        wait_until(lambda: self.driver.connection_status().generation == 2
                   and self.state == _State.CONNECTED, 'another')
        self.assertEqual(['guest'], self.driver.list_instances())
        self.assertEqual(2, len(self.hypervisor.unclosed_connections()))
        hang.release()

        wait_until(lambda: self.hypervisor.connections[0].closed,
                   'the first one to be closed')

    @unittest.skipUnless(base.eventlet_mode(), 'needs green threads')
    def test_a_killed_caller_leaves_it_to_be_closed(self) -> None:
        self.remake(connect_timeout=0.2)
        eventlet = importlib.import_module('eventlet')
        self.driver.init_host('here')
        hang = self.block('listAllDomains')
        connection: Any = self.driver._conn
        caller = eventlet.spawn(connection.listAllDomains)
        self.assertTrue(hang.wait_entered())

        caller.kill()
        self.assertEqual(['guest'], self.driver.list_instances())
        hang.release()

        wait_until(lambda: self.hypervisor.connections[0].closed,
                   'the first one to be closed')


class NoThreadTest(test_driver_faults.FaultTestCase):
    """The process cannot start a thread."""

    def without_threads(self, name: str) -> fixtures.MonkeyPatch:
        real = threading.Thread.start

        def start(thread: threading.Thread) -> None:
            if thread.name.startswith(name):
                raise RuntimeError("can't start new thread")
            real(thread)

        return fixtures.MonkeyPatch('threading.Thread.start', start)

    def check(self, name: str) -> None:
        with self.without_threads(name):
            for _ in range(40):
                self.refused(self.driver._get_connection)
            self.assertEqual(
                0, self.driver.connection_status().running_calls)

        self.assertIsNotNone(self.driver._conn)
        self.assert_one_left()

    @unittest.skipIf(base.eventlet_mode(), 'its calls start no thread')
    def test_for_a_call(self) -> None:
        self.check('libvirt-call')

    def test_for_the_attempt(self) -> None:
        self.remake(connect_timeout=0.1)
        self.check('libvirt-keeper')

    def test_for_the_reader(self) -> None:
        self.driver.cleanup_host('here')
        with self.without_threads('libvirt-reader'):
            self.driver.init_host('here')
        self.wait_connected()

        self.hypervisor.emit(_LIFECYCLE, self.guest, _STOPPED, 0)

        wait_until(lambda: self.listener.events, 'the event')


@unittest.skipUnless(base.eventlet_mode(), 'needs green threads')
class GreenTest(test_driver_faults.FaultTestCase):
    """A green thread that waits for the connection is told to end."""

    def setUp(self) -> None:
        super().setUp()
        self.eventlet = importlib.import_module('eventlet')
        self.hang = self.block('openAuth')

    def check_others(self) -> None:
        other = self.eventlet.spawn(self.driver._get_connection)
        self.eventlet.sleep(0)
        self.hang.release()
        self.assertIs(self.driver._conn, other.wait())
        self.assertEqual(1, self.calls['openAuth'])
        self.assertEqual(
            0, self.driver.connection_status().running_calls)
        self.assert_one_left()

    def test_killed_while_it_waits(self) -> None:
        waiting = self.eventlet.spawn(self.driver._get_connection)
        self.assertTrue(self.hang.wait_entered())

        waiting.kill()

        self.check_others()

    def test_its_own_deadline_passes(self) -> None:
        waiting = self.eventlet.spawn(
            self.eventlet.with_timeout, 0.1, self.driver._get_connection,
            timeout_value='in vain')

        self.assertEqual('in vain', waiting.wait())
        self.check_others()

    def test_killed_at_any_moment(self) -> None:
        for turns in range(8):
            waiting = self.eventlet.spawn(self.driver._get_connection)
            for _ in range(turns):
                self.eventlet.sleep(0)
            waiting.kill()

        self.check_others()
