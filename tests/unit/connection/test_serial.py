# SPDX-License-Identifier: Apache-2.0

from typing import Any

import fixtures
import libvirt

from nova_libvirt_driver import conf
from nova_libvirt_driver.connection import serial
from nova_libvirt_driver.connection import turn as turn_module
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from tests import base
from tests.unit.monitoring import values


class Domain(libvirt.virDomain):  # type: ignore[misc]
    """A domain that tells whether its calls hold the turn."""

    def __init__(self, turn: turn_module.Turn, number: int = 1) -> None:
        self.turn = turn
        self.number = number

    def __del__(self) -> None:
        # There is nothing of the library to free.
        pass

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Domain):
            return NotImplemented
        return other.number == self.number

    def __hash__(self) -> int:
        return hash(self.number)

    def _is_taken(self) -> bool:
        if self.turn.acquire(0):
            self.turn.release()
            return False
        return True

    def name(self) -> bool:
        """One of the calls that ask nobody."""
        return self._is_taken()

    def state(self, flags: int = 0) -> list[Any]:
        return [self._is_taken(), flags]

    def snapshot(self) -> 'Domain':
        return Domain(self.turn, self.number)

    def everything(self) -> list[Any]:
        other = Domain(self.turn, 2)
        return [self, (other, {'state': 1}), [[other]], 'text', None]

    def destroy(self) -> None:
        raise ValueError('a failure')


class SerialProxyTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.turn = turn_module.Turn(host='here', timeout_s=0.05)
        self.domain = Domain(self.turn)
        self.proxy = serial.wrap(self.domain, self.turn)

    def test_call_holds_the_turn_and_gives_it_back(self) -> None:
        self.assertEqual([True, 5], self.proxy.state(5))
        self.assertEqual([True, 6], self.proxy.state(flags=6))
        self.assertTrue(self.turn.acquire(0))

    def test_call_that_fails_gives_it_back(self) -> None:
        self.assertRaises(ValueError, self.proxy.destroy)

        self.assertTrue(self.turn.acquire(0))

    def test_calls_are_observed_but_not_the_wait_for_a_turn(self) -> None:
        observer = values.RecordingObserver()
        self.turn.observation.observer = observer

        self.proxy.state()
        self.assertRaises(ValueError, self.proxy.destroy)
        self.proxy.name()
        with self.turn.taken('something else'):
            self.assertRaises(exception.CallTimeout, self.proxy.state)

        self.assertEqual([('state', 'ok'), ('destroy', 'ValueError')],
                         observer.calls)

    def test_local_calls_take_no_turn(self) -> None:
        self.assertFalse(self.proxy.name())
        with self.turn.taken('a call'):
            self.assertTrue(self.proxy.name())

    def test_call_gives_up_when_another_is_inside_for_long(self) -> None:
        with self.turn.taken('a call'):
            error = self.assertRaises(
                exception.CallTimeout, self.proxy.state)

        self.assertIn('waiting for state', str(error))

    def test_no_call_on_a_link_that_is_gone(self) -> None:
        self.turn.closed = True

        self.assertRaises(
            exception.HypervisorUnavailable, self.proxy.state)
        self.assertTrue(self.turn.acquire(0))

    def test_result_is_wrapped_with_the_same_turn(self) -> None:
        result = self.proxy.snapshot()

        self.assertIs(serial.SerialProxy, type(result))
        self.assertIs(self.turn, serial.turn_of(result))

    def test_objects_inside_lists_and_tuples_are_wrapped(self) -> None:
        first, (second, record), [[third]], *rest = self.proxy.everything()

        for one in (first, second, third):
            self.assertIs(serial.SerialProxy, type(one))
        self.assertEqual({'state': 1}, record)
        self.assertEqual(['text', None], rest)
        self.assertIs(tuple, type(self.proxy.everything()[1]))

    def test_attributes_are_those_of_the_object(self) -> None:
        self.assertEqual(1, self.proxy.number)
        self.assertRaises(AttributeError, getattr, self.proxy, 'missing')
        self.assertIn(repr(self.domain), repr(self.proxy))

    def test_equality_is_that_of_the_objects(self) -> None:
        same = serial.wrap(Domain(self.turn), self.turn)
        other = serial.wrap(Domain(self.turn, 2), self.turn)

        self.assertEqual(self.proxy, same)
        self.assertEqual(self.proxy, self.domain)
        self.assertNotEqual(self.proxy, other)
        self.assertEqual(2, len({self.proxy, same, other}))


class WrapTest(base.TestCase):

    def test_there_and_back(self) -> None:
        turn = turn_module.Turn(host='here', timeout_s=1)
        domain = Domain(turn)
        proxy = serial.wrap(domain, turn)

        self.assertIs(domain, serial.raw(proxy))
        self.assertIs(domain, serial.raw(domain))
        self.assertIsNone(serial.turn_of(domain))
        self.assertIs(proxy, serial.wrap(proxy, turn))

    def test_what_is_not_of_the_library_is_left_alone(self) -> None:
        turn = turn_module.Turn(host='here', timeout_s=1)
        for value in (7, 'text', None, {'a': 1}, object()):
            self.assertIs(value, serial.wrap(value, turn))


class InProcessTest(base.TestCase):
    """Libvirt's own hypervisor inside the process."""

    def setUp(self) -> None:
        super().setUp()
        conf.register_opts(self.config.conf)
        self.config.config(group='libvirt',
                           connection_uri='test:///default')
        self.driver = driver_module.LibvirtDriver(fake_ports.virt_api())
        self.addCleanup(self.driver.cleanup_host, 'here')

    def test_objects_are_wrapped_and_take_no_turn(self) -> None:
        connection = self.driver._conn
        domains = connection.listAllDomains()

        self.assertEqual(['test'], [one.name() for one in domains])
        self.assertEqual(1, domains[0].info()[0])
        for one in [connection, *domains]:
            self.assertIsInstance(one, serial.Wrapped)
            turn = serial.turn_of(one)
            assert turn is not None
            self.assertFalse(turn.needed)

    def test_calls_go_on_while_another_is_inside(self) -> None:
        turn = serial.turn_of(self.driver._conn)
        assert turn is not None

        with turn.taken('a call'), turn.taken('another'):
            self.assertEqual(['test'], self.driver.list_instances())

    def test_connection_of_a_domain_is_wrapped_too(self) -> None:
        domain: Any = self.driver._conn.listAllDomains()[0]

        self.assertIsInstance(domain.connect(), serial.Wrapped)

    def test_fake_connection_is_handed_out_as_it_is(self) -> None:
        hypervisor = fake_libvirt.FakeHypervisor()
        with fixtures.MonkeyPatch('libvirt.openAuth', hypervisor.open_auth):
            connection: Any = self.driver._conn

        self.assertEqual([connection], hypervisor.connections)
        self.assertIs(hypervisor.connections[0], connection)
