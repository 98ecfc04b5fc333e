# SPDX-License-Identifier: Apache-2.0

"""What the driver does while libvirt, or a port of the service, fails."""

import threading
import time
from typing import Any

import libvirt

from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from tests import base
from tests.unit import test_driver

wait_until = fake_ports.wait_until
libvirt_error = fake_libvirt.libvirt_error

_State = connection_spec.ConnectionState
_LIFECYCLE = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
_STOPPED = libvirt.VIR_DOMAIN_EVENT_STOPPED

_SET_UP = ('setKeepAlive', 'registerCloseCallback',
           'domainEventRegisterAny', 'getAllDomainStats')

# What hangs does so for a minute; a busy machine may take seconds.
PATIENCE_S = 20.0

# Eight kinds of events and the close callback.
_CALLBACKS = 10


def broken_link() -> libvirt.libvirtError:
    return libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR,
                         libvirt.VIR_FROM_RPC, 'client socket is closed')


def other_error() -> libvirt.libvirtError:
    return libvirt_error(libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_FROM_NONE,
                         'out of memory')


class HangingServiceState(fake_ports.RecordingServiceState):
    """A record that cannot be written until the hang ends."""

    def __init__(self) -> None:
        super().__init__()
        self.hang = fake_fault.Hang()

    def set_host_enabled(
            self, host: str, *, enabled: bool, reason: str) -> None:
        self.hang.hang()
        super().set_host_enabled(host, enabled=enabled, reason=reason)


class HangingNotifier(fake_ports.RecordingNotifier):
    """A notifier that waits for its broker until the hang ends."""

    def __init__(self) -> None:
        super().__init__()
        self.hang = fake_fault.Hang()

    def error(self, event_type: str, payload: Any) -> None:
        self.hang.hang()
        super().error(event_type, payload)


class FaultTestCase(test_driver.DriverTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.guest = self.hypervisor.add_guest('guest')

    def remake(self, **options: Any) -> None:
        """Use a driver with other values of its own options."""
        self.config.config(group='nova_libvirt_driver', **options)
        self.driver.cleanup_host('here')
        self.driver = self.make_driver()

    def start(self, function: Any) -> runtime.Thread:
        """Call a function, which may raise, on another thread."""
        thread = runtime.Thread(
            target=fake_ports.run_threads, args=([function],), daemon=True)
        thread.start()
        self.addCleanup(thread.join, 20)
        return thread

    def block(self, method: str) -> fake_fault.Hang:
        """Let a method hang until it is released, or the test ends."""
        hang = self.hypervisor.block(method)
        self.addCleanup(hang.release)
        return hang

    def refused(self, function: Any) -> exception.DriverError:
        """Return the HypervisorUnavailable that a call raises."""
        error: exception.DriverError = self.assertRaises(
            exception.HypervisorUnavailable, function)
        return error

    @property
    def state(self) -> _State:
        return self.driver.connection_status().state

    def wait_connected(self) -> None:
        wait_until(lambda: self.state == _State.CONNECTED, 'a connection')

    def lose(self) -> None:
        """Break the connection and let no other be made for now."""
        self.hypervisor.refuse_connections()
        self.hypervisor.break_connections()
        wait_until(lambda: self.driver._wrapped_conn is None
                   and self.driver.connection_status().last_error,
                   'the loss to be noticed')

    def assert_one_left(self) -> None:
        """All connections but the one in use come to be closed."""
        connection = self.driver._wrapped_conn
        wait_until(
            lambda: self.hypervisor.unclosed_connections() == [connection],
            'all others to be closed')
        self.assertEqual(_CALLBACKS, self.hypervisor.callback_count())

    def assert_none_left(self) -> None:
        """Every connection comes to be closed, without a callback."""
        wait_until(lambda: not self.hypervisor.unclosed_connections(),
                   'all connections to be closed')
        self.assertEqual(0, self.hypervisor.callback_count())

    def assert_no_threads(self) -> None:
        """The driver's own threads end."""
        wait_until(lambda: not [
            thread.name for thread in threading.enumerate()
            if thread.name.startswith('libvirt-')
            and not thread.name.startswith(base.PROCESS_THREADS)],
            'the threads to end')


class HelperTest(FaultTestCase):

    def test_a_helper_that_is_down_does_not_cost_the_connection(
            self) -> None:
        self.driver.get_host_facts()
        before = self.driver.connection_status()
        for _ in range(3):
            self.hypervisor.fail_next('getCPUStats', libvirt_error(
                libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC,
                "Failed to connect socket to '/run/libvirt/virtlogd-sock': "
                'No such file or directory'))

            error = self.assertRaises(
                exception.LibvirtFailure, self.driver.get_host_cpu_times)

            self.assertIn('virtlogd.socket', error.next_step)
        after = self.driver.connection_status()
        self.assertEqual(
            (before.generation, before.reconnects, _State.CONNECTED),
            (after.generation, after.reconnects, after.state))


class StartTest(FaultTestCase):

    def test_one_failed_access_holds_up_no_init_host(self) -> None:
        self.hypervisor.refuse_connections()
        self.refused(self.driver._get_connection)
        self.hypervisor.accept_connections()

        self.driver.init_host('here')

        self.assertEqual(_State.CONNECTED, self.state)
        self.assertEqual(['guest'], self.driver.list_instances())

    def test_cleanup_in_an_outage_leaves_no_failure_behind(self) -> None:
        self.driver.init_host('here')
        self.lose()
        wait_until(lambda: self.service_state.enabled is False, 'disabled')
        self.driver.cleanup_host('here')
        self.hypervisor.accept_connections()

        self.driver.init_host('here')

        self.assertEqual(['guest'], self.driver.list_instances())
        self.assertTrue(self.service_state.enabled)
        self.assert_one_left()


class CleanupTest(FaultTestCase):

    def clean_up(self) -> None:
        """Clean up, which waits for nothing that hangs."""
        started = time.monotonic()
        self.driver.cleanup_host('here')
        self.assertLess(time.monotonic() - started, PATIENCE_S)

    def check_verbs_fail(self) -> None:
        driver = self.driver
        instance = instance_spec.InstanceRef(self.guest.uuid, 'guest')
        before = dict(self.calls)

        for verb in (driver._get_connection, driver._get_new_connection,
                     driver.list_instances, driver.list_instance_uuids,
                     driver.list_instance_summaries, driver.get_host_facts,
                     driver.get_available_nodes,
                     lambda: driver.get_available_resource('here'),
                     lambda: driver.get_info(instance)):
            self.refused(verb)

        self.assertEqual(before, dict(self.calls))

    def check_hang(self, method: str) -> None:
        """Clean up while the first attempt hangs in a method."""
        hang = self.block(method)
        init = self.start(lambda: self.driver.init_host('here'))
        self.assertTrue(hang.wait_entered())

        self.clean_up()
        told = list(self.service_state.calls)
        hang.release()
        init.join(5)

        wait_until(lambda: self.hypervisor.connections, 'the late one')
        self.assert_none_left()
        self.assert_no_threads()
        self.assertIsNone(self.driver._wrapped_conn)
        self.assertEqual(_State.DISCONNECTED, self.state)
        self.assertEqual(told, self.service_state.calls)

    def test_while_an_open_hangs(self) -> None:
        self.check_hang('openAuth')

    def test_while_the_set_up_hangs(self) -> None:
        self.check_hang('domainEventRegisterAny')

    def test_while_an_open_hangs_beyond_its_deadline(self) -> None:
        self.remake(connect_timeout=0.1)
        self.check_hang('openAuth')

    def test_while_a_call_hangs(self) -> None:
        self.driver.init_host('here')
        hang = self.block('getAllDomainStats')
        listing = self.start(self.driver.list_instances)
        self.assertTrue(hang.wait_entered())

        self.clean_up()
        hang.release()
        listing.join(5)

        self.assert_none_left()
        self.assert_no_threads()

    def test_while_closing_hangs(self) -> None:
        self.driver.list_instance_summaries()
        hang = self.block('close')

        self.clean_up()
        hang.release()

        self.assert_none_left()
        self.assert_no_threads()

    def test_while_the_record_cannot_be_written(self) -> None:
        self.service_state = state = HangingServiceState()
        self.addCleanup(state.hang.release)
        self.remake()
        self.start(self.driver._get_connection)
        self.assertTrue(state.hang.wait_entered())
        self.hypervisor.refuse_connections()
        # Its word waits behind the first one.
        self.refused(self.driver._get_new_connection)

        self.clean_up()
        state.hang.release()
        self.assert_no_threads()

        self.assertEqual([('here', True)], self.words()[:1])
        self.assertEqual([], self.words()[1:])

    def test_init_host_while_an_earlier_open_still_hangs(self) -> None:
        hang = self.block('openAuth')
        self.start(lambda: self.driver.init_host('here'))
        self.assertTrue(hang.wait_entered())
        self.clean_up()

        again = self.start(lambda: self.driver.init_host('here'))
        again.join(0.1)
        self.assertTrue(again.is_alive())
        hang.release()

        self.wait_connected()
        self.assert_one_left()
        # Told on a thread of its own, a moment after the connection is there.
        again.join(10)
        fake_ports.wait_until(
            lambda: self.service_state.enabled, 'the service enabled')

    def test_init_host_while_an_earlier_open_is_about_to_fail(self) -> None:
        hang = self.block('openAuth')
        self.start(lambda: self.driver.init_host('here'))
        self.assertTrue(hang.wait_entered())
        self.clean_up()
        self.hypervisor.refuse_connections()

        again = self.start(lambda: self.driver.init_host('here'))
        again.join(0.1)
        self.assertTrue(again.is_alive())
        hang.release()
        again.join(5)
        self.hypervisor.accept_connections()

        self.wait_connected()
        self.assert_one_left()

    def test_afterwards_every_verb_fails_and_opens_nothing(self) -> None:
        self.driver.init_host('here')
        self.driver.get_host_facts()
        self.clean_up()

        self.check_verbs_fail()

        self.assert_none_left()

    def test_without_init_host_it_is_as_final(self) -> None:
        self.assertIsNotNone(self.driver._conn)
        self.clean_up()

        self.check_verbs_fail()

    def test_init_host_brings_connection_and_events_back(self) -> None:
        self.driver.init_host('here')
        self.clean_up()

        self.driver.init_host('here')
        self.hypervisor.emit(_LIFECYCLE, self.guest, _STOPPED, 0)

        wait_until(lambda: self.listener.events, 'the event')
        self.assertEqual(['stopped'], self.listener.transitions('guest'))
        self.assertEqual(['guest'], self.driver.list_instances())
        self.assert_one_left()


class SetUpTest(FaultTestCase):

    def test_link_that_breaks_in_it_is_never_connected(self) -> None:
        for method in _SET_UP:
            with self.subTest(method):
                self.hypervisor.break_next(method)

                self.refused(self.driver._get_connection)

                self.assertEqual(_State.BROKEN, self.state)
                self.assertIs(False, self.service_state.enabled)
                self.assert_none_left()
                self.assertIsNotNone(self.driver._conn)
                self.assert_one_left()
                self.driver._wrapped_conn = None
        self.assertNotIn(('here', True), self.words()[:1])
        self.assertEqual(len(_SET_UP), len(self.notifier.errors))

    def test_supervised_it_is_made_up_for(self) -> None:
        for method in _SET_UP:
            with self.subTest(method):
                told = len(self.notifier.errors)
                self.hypervisor.break_next(method)

                self.driver.init_host('here')

                wait_until(lambda: self.service_state.enabled, 'enabled')
                self.assert_one_left()
                self.assertEqual(told + 1, len(self.notifier.errors))
                self.driver.cleanup_host('here')

    def test_one_that_hangs_has_a_deadline_and_is_closed(self) -> None:
        # Enough for what comes before the call that hangs.
        self.remake(connect_timeout=0.5)
        for method in _SET_UP:
            with self.subTest(method), self.hypervisor.block(method) as hang:
                started = time.monotonic()
                self.refused(self.driver._get_connection)
                self.assertLess(time.monotonic() - started, PATIENCE_S)
                self.assertTrue(hang.entered)
                hang.release()
                self.assert_none_left()
        wait_until(
            lambda: not self.driver.connection_status().running_calls,
            'the calls to end')

    def test_callers_use_no_connection_that_is_being_set_up(self) -> None:
        hang = self.block('getAllDomainStats')
        self.start(self.driver._get_connection)
        self.assertTrue(hang.wait_entered())

        self.assertIsNone(self.driver._wrapped_conn)
        self.assertEqual(_State.CONNECTING, self.state)
        self.assertEqual([], self.words())
        hang.release()
        self.wait_connected()

    def test_failing_for_long_piles_up_nothing(self) -> None:
        self.remake(reconnect_interval=0.05, reconnect_interval_max=0.05)
        for _ in range(1000):
            self.hypervisor.fail_next('getAllDomainStats', broken_link())

        self.driver.init_host('here')
        wait_until(lambda: len(self.hypervisor.connections) > 10,
                   'many attempts')

        self.assertLess(len(self.hypervisor.unclosed_connections()), 5)
        self.assertEqual(1, len(self.notifier.errors))
        self.assertNotIn(('here', True), self.words())
        self.driver.cleanup_host('here')
        self.assert_none_left()


class PortTest(FaultTestCase):
    """A port of the compute service hangs."""

    def check_recovery(self) -> None:
        """Lose the connection; it comes back and is used meanwhile."""
        self.lose()
        self.hypervisor.accept_connections()
        self.wait_connected()
        started = time.monotonic()
        self.assertEqual(['guest'], self.driver.list_instances())
        self.assertLess(time.monotonic() - started, PATIENCE_S)

    def test_record_agrees_at_last_when_connected(self) -> None:
        self.service_state = state = HangingServiceState()
        self.addCleanup(state.hang.release)
        self.remake()
        started = time.monotonic()
        self.driver.init_host('here')
        self.assertLess(time.monotonic() - started, PATIENCE_S)

        self.check_recovery()
        state.hang.release()

        wait_until(lambda: state.calls, 'the record')
        self.driver._get_connection()
        wait_until(lambda: state.enabled, 'the record to agree')
        self.assertNotEqual(('here', False), self.words()[-1])

    def test_record_agrees_at_last_when_not(self) -> None:
        self.service_state = state = HangingServiceState()
        self.addCleanup(state.hang.release)
        self.remake()
        self.start(lambda: self.driver.init_host('here'))
        self.assertTrue(state.hang.wait_entered())

        self.lose()
        wait_until(lambda: self.state == _State.BROKEN, 'the attempt')
        state.hang.release()

        wait_until(lambda: state.enabled is False, 'the record to agree')

    def test_notifier_that_hangs_holds_up_nothing(self) -> None:
        self.notifier = notifier = HangingNotifier()
        self.addCleanup(notifier.hang.release)
        self.remake()
        self.driver.init_host('here')

        self.check_recovery()
        notifier.hang.release()

        wait_until(lambda: self.service_state.enabled, 'enabled')
        self.assertEqual([('here', True)], self.words()[-1:])

    def test_loss_while_the_record_is_written_is_made_up_for(self) -> None:
        self.service_state = state = HangingServiceState()
        self.addCleanup(state.hang.release)
        self.remake()
        self.start(lambda: self.driver.init_host('here'))
        self.assertTrue(state.hang.wait_entered())

        self.hypervisor.break_connections()
        wait_until(lambda: self.driver._wrapped_conn is None, 'the loss')
        state.hang.release()

        self.wait_connected()
        self.assert_one_left()

    def test_port_may_ask_for_a_connection_just_lost(self) -> None:
        test = self

        class Asking(fake_ports.RecordingServiceState):
            def set_host_enabled(
                    self, host: str, *, enabled: bool, reason: str) -> None:
                super().set_host_enabled(
                    host, enabled=enabled, reason=reason)
                if len(self.calls) == 1:
                    test.hypervisor.break_connections()
                    test.assertRaises(exception.HypervisorUnavailable,
                                      test.driver._get_connection)

        self.service_state = Asking()
        self.remake()

        self.driver.init_host('here')

        wait_until(
            lambda: self.driver.connection_status().generation > 1
            and self.state == _State.CONNECTED, 'another')


class RenewTest(FaultTestCase):

    def test_many_at_once_end_with_one_connection(self) -> None:
        for _ in range(3):
            self.hypervisor.fail_next('openAuth', broken_link())
            self.hypervisor.fail_next('getAllDomainStats', broken_link())

        results = fake_ports.run_threads(
            [self.driver._get_new_connection] * 8)

        failures = [one for one in results if isinstance(one, Exception)]
        self.assertEqual({exception.HypervisorUnavailable},
                         {type(one) for one in failures})
        self.assertEqual(6, len(failures))
        self.assertEqual(_State.CONNECTED, self.state)
        self.assert_one_left()
        self.assertTrue(self.service_state.enabled)

    def test_many_at_once_while_supervised(self) -> None:
        self.driver.init_host('here')
        for _ in range(4):
            self.hypervisor.fail_next('openAuth', broken_link())

        results = fake_ports.run_threads(
            [self.driver._get_new_connection] * 8
            + [self.driver._get_connection] * 8)

        self.assertEqual(set(), {
            type(one) for one in results if isinstance(one, Exception)
        } - {exception.HypervisorUnavailable})
        self.wait_connected()
        self.assert_one_left()

    def test_install_during_an_attempt_that_replaces_it(self) -> None:
        other = fake_libvirt.FakeConnection(self.hypervisor, 'fake:///')
        with self.hypervisor.block('openAuth') as hang:
            self.start(self.driver._get_new_connection)
            self.assertTrue(hang.wait_entered())
            self.driver._wrapped_conn = other
            self.driver._wrapped_conn = None

        self.wait_connected()
        self.assertTrue(other.closed or wait_until(
            lambda: other.closed, 'the installed one to be closed'))
        self.assert_one_left()


class UnvouchedTest(FaultTestCase):

    keepalive = False

    def test_other_error_of_the_test_is_made_up_for(self) -> None:
        self.driver.init_host('here')
        self.hypervisor.refuse_connections()
        self.hypervisor.fail_next('getLibVersion', other_error())

        self.assertRaises(
            exception.LibvirtFailure, self.driver._get_connection)

        wait_until(lambda: self.service_state.enabled is False, 'disabled')
        self.hypervisor.accept_connections()
        wait_until(lambda: self.service_state.enabled, 'enabled again')
        self.assert_one_left()

    def test_other_error_is_announced_when_nobody_supervises(self) -> None:
        self.driver._get_connection()
        self.hypervisor.fail_next('getLibVersion', other_error())

        self.assertRaises(
            exception.LibvirtFailure, self.driver._get_connection)

        wait_until(lambda: self.service_state.enabled is False, 'disabled')
        self.assert_none_left()
