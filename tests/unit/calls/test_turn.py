# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
import contextlib
import threading
import time
from typing import Any

import fixtures
import libvirt

from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver.calls import turn as turn_module
from nova_libvirt_driver import conf
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from tests import base
from tests.unit.monitoring import values


class TurnTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.turn = self.make(timeout_s=5)

    def make(self, timeout_s: float) -> turn_module.Turn:
        return turn_module.Turn(host='here', timeout_s=timeout_s)

    def take(self, turn: turn_module.Turn | None = None) -> None:
        with (turn or self.turn).taken('asking'):
            pass

    def comes_in(self, timeout_s: float = 0) -> bool:
        """Say whether somebody else gets the turn now."""
        with self.turn.last(timeout_s) as is_taken:
            return is_taken

    def test_one_caller_at_a_time(self) -> None:
        inside: list[bool] = []
        lock = threading.Lock()

        def work() -> None:
            for _ in range(5):
                with self.turn.taken('asking'):
                    inside.append(lock.acquire(blocking=False))
                    time.sleep(0.001)
                    lock.release()

        fake_ports.run_threads([work] * 8, timeout_s=10)

        self.assertEqual([True] * 40, inside)

    def test_who_came_first_is_first(self) -> None:
        order: list[int] = []
        waiting: list[int] = []

        def work(number: int) -> None:
            waiting.append(number)
            with self.turn.taken('asking'):
                order.append(number)

        with self.turn.taken('asking'):
            callers = []
            for number in range(5):
                thread = runtime.Thread(target=work, args=(number,))
                thread.start()
                callers.append(thread)
                fake_ports.wait_until(
                    lambda: len(waiting) > number, 'the next one')
                time.sleep(0.2)
        # At once, as one does who asks again and again.
        with self.turn.taken('asking'):
            order.append(-1)
        for thread in callers:
            thread.join(10)

        self.assertEqual([0, 1, 2, 3, 4, -1], order)

    def test_who_gives_up_is_passed_over(self) -> None:
        holder = contextlib.ExitStack()
        holder.enter_context(self.turn.taken('asking'))
        self.assertFalse(self.comes_in(0.05))
        threading.Timer(0.2, holder.close).start()

        self.assertTrue(self.comes_in(30))
        self.take()

    def test_wait_for_it_has_a_deadline(self) -> None:
        turn = self.make(timeout_s=0.1)
        started = time.monotonic()

        with turn.taken('asking'):
            error = self.assertRaises(
                exception.CallTimeout, self.take, turn)

        self.assertTrue(0.1 <= time.monotonic() - started < 30)
        self.assertIn('here', str(error))
        self.assertIn('waiting for asking', str(error))
        self.take(turn)

    def test_caller_that_comes_in_vain_takes_nothing(self) -> None:
        with self.turn.taken('asking'):
            for _ in range(3):
                self.assertFalse(self.comes_in(0.01))

        with self.turn.last(0) as is_taken:
            self.assertTrue(is_taken)
            self.assertFalse(self.comes_in(0.01))

    def test_call_that_fails_gives_it_back(self) -> None:
        def fail() -> None:
            with self.turn.taken('asking'):
                raise ValueError('a failure')

        for _ in range(3):
            self.assertRaises(ValueError, fail)
        self.assertFalse(self.turn.closed)
        self.take()

    def test_caller_told_to_end_before_its_call_gives_it_back(
            self) -> None:
        for reason in (KeyboardInterrupt, SystemExit, GeneratorExit):
            with self.subTest(reason.__name__):
                self.end_inside(reason)

                self.assertFalse(self.turn.closed)
                self.take()

    def end_inside(
            self, reason: type[BaseException],
            call: Callable[[], object] | None = None,
            entered: Callable[[], object] = lambda: None) -> None:
        """Take the turn and be told to end while holding it."""
        try:
            with self.turn.taken('asking') as tracked:
                if call is not None:
                    thread = runtime.Thread(target=tracked(call))
                    self.addCleanup(thread.join, 5)
                    thread.start()
                    entered()
                raise reason
        except reason:
            return

    def test_caller_told_to_end_lets_nobody_in_while_its_call_runs(
            self) -> None:
        self.turn = self.make(timeout_s=0.01)
        hang = fake_fault.Hang()
        self.addCleanup(hang.release)

        self.end_inside(SystemExit, hang.hang, hang.wait_entered)

        self.assertTrue(self.turn.closed)
        self.assertRaises(exception.CallTimeout, self.take)
        self.assertFalse(self.comes_in(0.01))
        hang.release()
        self.assertTrue(self.comes_in(5))
        with self.turn.last(0):
            self.assertFalse(self.comes_in(0.01))

    def give_up(self, call: Callable[[], object] | None) -> None:
        """Hold the turn for a call that does not come back in time."""
        with self.turn.taken('asking') as tracked:
            inside = tracked(call or (lambda: None))
            if call is None:
                raise exception.CallBudgetExhausted(call='asking', limit=1)
            runtime.Thread(target=inside).start()
            raise exception.CallTimeout(
                host='here', call='asking', timeout_s=1)

    def test_caller_that_gives_up_lets_nobody_in_until_its_call_ends(
            self) -> None:
        hang = fake_fault.Hang()
        self.addCleanup(hang.release)

        self.assertRaises(exception.CallTimeout, self.give_up, hang.hang)

        self.assertFalse(self.turn.closed)
        self.assertFalse(self.comes_in(0.01))
        hang.release()
        self.assertTrue(self.comes_in(5))
        self.take()

    def test_caller_without_a_thread_for_its_call_gives_it_back(
            self) -> None:
        for _ in range(3):
            self.assertRaises(
                exception.CallBudgetExhausted, self.give_up, None)

        self.take()

    def test_call_passes_everything_on(self) -> None:
        with self.turn.taken('asking') as tracked:
            self.assertEqual(7, tracked(int)('11', base=6))
            self.assertRaises(ValueError, tracked(int), 'x')

    def test_link_that_is_gone_refuses_calls(self) -> None:
        self.take()

        self.turn.closed = True

        error = self.assertRaises(
            exception.HypervisorUnavailable, self.take)
        self.assertIn('here', str(error))
        self.assertTrue(self.comes_in())

    def test_link_may_go_while_one_waits(self) -> None:
        hang = fake_fault.Hang()

        def inside() -> None:
            with self.turn.taken('asking'):
                hang.hang()
                self.turn.closed = True

        def behind() -> None:
            self.assertTrue(hang.wait_entered())
            hang.release()
            self.take()

        results = fake_ports.run_threads([inside, behind], timeout_s=10)

        self.assertIsNone(results[0])
        self.assertIs(exception.HypervisorUnavailable, type(results[1]))
        self.assertTrue(self.comes_in())

    def test_nobody_waits_where_there_is_no_link(self) -> None:
        self.turn.needed = False

        with self.turn.taken('asking'):
            self.take()
            self.assertTrue(self.comes_in())


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
        with self.turn.last(0) as is_free:
            return not is_free

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


class ProxyTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.turn = turn_module.Turn(host='here', timeout_s=0.05)
        self.domain = Domain(self.turn)
        self.proxy = turn_module.wrap(self.domain, self.turn)

    def test_call_holds_the_turn_and_gives_it_back(self) -> None:
        self.assertEqual([True, 5], self.proxy.state(5))
        self.assertEqual([True, 6], self.proxy.state(flags=6))
        self.assertFalse(self.domain.name())

    def test_call_that_fails_gives_it_back(self) -> None:
        self.assertRaises(ValueError, self.proxy.destroy)

        self.assertFalse(self.domain.name())

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
        self.assertFalse(self.domain.name())

    def test_result_is_wrapped_with_the_same_turn(self) -> None:
        result = self.proxy.snapshot()

        self.assertIs(turn_module.Proxy, type(result))
        self.assertIs(self.turn, turn_module.turn_of(result))

    def test_objects_inside_lists_and_tuples_are_wrapped(self) -> None:
        first, (second, record), [[third]], *rest = self.proxy.everything()

        for one in (first, second, third):
            self.assertIs(turn_module.Proxy, type(one))
        self.assertEqual({'state': 1}, record)
        self.assertEqual(['text', None], rest)
        self.assertIs(tuple, type(self.proxy.everything()[1]))

    def test_attributes_are_those_of_the_object(self) -> None:
        self.assertEqual(1, self.proxy.number)
        self.assertRaises(AttributeError, getattr, self.proxy, 'missing')
        self.assertIn(repr(self.domain), repr(self.proxy))

    def test_equality_is_that_of_the_objects(self) -> None:
        same = turn_module.wrap(Domain(self.turn), self.turn)
        other = turn_module.wrap(Domain(self.turn, 2), self.turn)

        self.assertEqual(self.proxy, same)
        self.assertEqual(self.proxy, self.domain)
        self.assertNotEqual(self.proxy, other)
        self.assertEqual(2, len({self.proxy, same, other}))


class WrapTest(base.TestCase):

    def test_there_and_back(self) -> None:
        turn = turn_module.Turn(host='here', timeout_s=1)
        domain = Domain(turn)
        proxy = turn_module.wrap(domain, turn)

        self.assertIs(domain, turn_module.raw(proxy))
        self.assertIs(domain, turn_module.raw(domain))
        self.assertIsNone(turn_module.turn_of(domain))
        self.assertIs(proxy, turn_module.wrap(proxy, turn))

    def test_what_is_not_of_the_library_is_left_alone(self) -> None:
        turn = turn_module.Turn(host='here', timeout_s=1)
        for value in (7, 'text', None, {'a': 1}, object()):
            self.assertIs(value, turn_module.wrap(value, turn))


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
            self.assertIsInstance(one, turn_module.Proxy)
            turn = turn_module.turn_of(one)
            assert turn is not None
            self.assertFalse(turn.needed)

    def test_calls_go_on_while_another_is_inside(self) -> None:
        turn = turn_module.turn_of(self.driver._conn)
        assert turn is not None

        with turn.taken('a call'), turn.taken('another'):
            self.assertEqual(['test'], self.driver.list_instances())

    def test_connection_of_a_domain_is_wrapped_too(self) -> None:
        domain: Any = self.driver._conn.listAllDomains()[0]

        self.assertIsInstance(domain.connect(), turn_module.Proxy)

    def test_fake_connection_is_handed_out_as_it_is(self) -> None:
        hypervisor = fake_libvirt.FakeHypervisor()
        with fixtures.MonkeyPatch('libvirt.openAuth', hypervisor.open_auth):
            connection: Any = self.driver._conn

        self.assertEqual([connection], hypervisor.connections)
        self.assertIs(hypervisor.connections[0], connection)
