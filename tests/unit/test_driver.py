# SPDX-License-Identifier: Apache-2.0

"""The driver's connection, on a fake libvirt."""

import threading
from typing import Any

import libvirt

from nova_libvirt_driver import base as driver_base
from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver import conf
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fixtures
from tests import base

wait_until = fake_ports.wait_until
libvirt_error = fake_libvirt.libvirt_error

_State = connection_spec.ConnectionState
_LIFECYCLE = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
_STARTED = libvirt.VIR_DOMAIN_EVENT_STARTED
_STOPPED = libvirt.VIR_DOMAIN_EVENT_STOPPED


def _broken_link() -> libvirt.libvirtError:
    return libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR,
                         libvirt.VIR_FROM_RPC, 'client socket is closed')


class DriverTestCase(base.TestCase):

    keepalive = True

    def setUp(self) -> None:
        super().setUp()
        conf.register_opts(self.config.conf)
        self.config.config(host='here', my_ip='192.0.2.9')
        self.config.config(group='libvirt', connection_uri='fake:///system')
        self.config.config(group='nova_libvirt_driver', connect_timeout=5,
                           reconnect_interval=0.05,
                           reconnect_interval_max=0.1)
        self.hypervisor = fake_libvirt.FakeHypervisor(
            keepalive=self.keepalive)
        self.useFixture(fixtures.FakeLibvirt(self.hypervisor))
        self.notifier = fake_ports.RecordingNotifier()
        self.service_state = fake_ports.RecordingServiceState()
        self.listener = fake_ports.RecordingListener()
        self.driver = self.make_driver()

    def make_driver(self, **options: Any) -> driver_module.LibvirtDriver:
        driver = driver_module.LibvirtDriver(
            fake_ports.virt_api(self.notifier, self.service_state),
            **options)
        driver.register_event_listener(self.listener)
        self.addCleanup(driver.cleanup_host, 'here')
        return driver

    @property
    def calls(self) -> dict[str, int]:
        return self.hypervisor.faults.calls

    def words(self) -> list[tuple[str, bool]]:
        return [(host, enabled)
                for host, enabled, _ in self.service_state.calls]


class ConnectTest(DriverTestCase):

    def test_is_a_compute_driver(self) -> None:
        self.assertIsInstance(self.driver, driver_base.ComputeDriver)

    def test_making_a_driver_opens_nothing(self) -> None:
        self.assertEqual([], self.hypervisor.connections)
        self.assertIsNone(self.driver._wrapped_conn)

    def test_first_access_connects_and_enables_the_host(self) -> None:
        connection = self.driver._conn

        self.assertIs(connection, self.driver._wrapped_conn)
        self.assertEqual([('here', True)], self.words())
        self.assertEqual(_State.CONNECTED,
                         self.driver.connection_status().state)

    def test_later_accesses_cost_no_call_while_kept_alive(self) -> None:
        connection = self.driver._conn
        before = sum(self.calls.values())

        again = [self.driver._conn for _ in range(10)]

        self.assertEqual([connection] * 10, again)
        self.assertEqual(before, sum(self.calls.values()))

    def test_sets_keepalive_from_the_options(self) -> None:
        self.config.config(group='nova_libvirt_driver',
                           keepalive_interval=3, keepalive_count=4)
        driver = self.make_driver()

        driver._get_connection()

        self.assertEqual(
            (3, 4), self.hypervisor.connections[0].keepalive)

    def test_subscribes_to_every_event_it_wants(self) -> None:
        self.driver._get_connection()

        # Eight kinds of events and the close callback.
        self.assertEqual(10, self.hypervisor.callback_count())

    def test_read_only_is_handed_on(self) -> None:
        driver = self.make_driver(read_only=True)

        driver._get_connection()

        self.assertTrue(self.hypervisor.connections[0].read_only)

    def test_fifty_callers_share_one_connect(self) -> None:
        with self.hypervisor.block('openAuth') as hang:
            callers = [runtime.Thread(
                target=self.driver._get_connection) for _ in range(50)]
            for thread in callers:
                thread.start()
            hang.wait_entered()
        for thread in callers:
            thread.join(20)

        self.assertEqual(1, self.calls['openAuth'])
        self.assertFalse(any(thread.is_alive() for thread in callers))

    def test_uri_follows_virt_type_unless_given(self) -> None:
        cases = {('', 'kvm'): 'qemu:///system',
                 ('', 'qemu'): 'qemu:///system',
                 ('', 'lxc'): 'lxc:///',
                 ('', 'parallels'): 'parallels:///system',
                 ('test:///x', 'kvm'): 'test:///x'}
        for (uri, virt_type), expected in cases.items():
            self.config.config(group='libvirt', connection_uri=uri,
                               virt_type=virt_type)
            self.assertEqual(expected, self.driver.uri())

    def test_credentials_come_from_the_options(self) -> None:
        self.hypervisor.require_credentials('operator', 'sesame')
        self.config.config(group='nova_libvirt_driver',
                           auth_username='operator', auth_password='sesame')

        self.assertIsNotNone(self.make_driver()._conn)

    def test_missing_credentials_are_named_and_no_secret_is(self) -> None:
        self.hypervisor.require_credentials('operator', 'sesame')
        self.config.config(group='nova_libvirt_driver',
                           auth_username='operator')
        driver = self.make_driver()

        error = self.assertRaises(
            exception.HypervisorUnavailable, driver._get_connection)

        self.assertIn('a password and none is configured', str(error))
        self.assertIn('auth_password', error.next_step)

    def test_hypervisor_without_events_is_used(self) -> None:
        self.hypervisor.events = False

        self.driver._get_connection()

        self.assertFalse(self.driver.connection_status().events)
        self.assertEqual([('here', True)], self.words())


class UnvouchedConnectionTest(DriverTestCase):
    """A connection without keepalive is tested before it is given out."""

    keepalive = False

    def test_a_working_one_is_tested_and_kept(self) -> None:
        connection = self.driver._conn
        before = self.calls['getLibVersion']

        self.assertIs(connection, self.driver._conn)
        self.assertEqual(before + 1, self.calls['getLibVersion'])

    def test_the_driver_itself_calls_it_without_a_test(self) -> None:
        """The hypervisor is in this process: there is no link to break."""
        self.assertIsNotNone(self.driver._conn)
        before = self.calls['getLibVersion']

        self.assertIn('<capabilities', self.driver.get_capabilities())

        self.assertEqual(before, self.calls['getLibVersion'])

    def test_a_broken_one_is_replaced_and_closed(self) -> None:
        first = self.driver._conn
        self.hypervisor.fail_next('getLibVersion', _broken_link())

        second = self.driver._conn

        self.assertIsNot(first, second)
        wait_until(lambda: self.hypervisor.connections[0].closed,
                   'the old connection to be closed')
        self.assertEqual(0, self.hypervisor.connections[0].callback_count)

    def test_each_kind_of_broken_link_counts_as_broken(self) -> None:
        for code in (libvirt.VIR_ERR_SYSTEM_ERROR,
                     libvirt.VIR_ERR_INTERNAL_ERROR):
            for domain in (libvirt.VIR_FROM_REMOTE, libvirt.VIR_FROM_RPC):
                conn = self.driver._conn
                self.hypervisor.fail_next(
                    'getLibVersion', libvirt_error(code, domain, 'gone'))
                self.assertFalse(self.driver._test_connection(conn))

    def test_another_error_drops_it_and_is_raised_translated(self) -> None:
        self.driver._get_connection()
        self.hypervisor.fail_next('getLibVersion', libvirt_error(
            libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_FROM_NONE, 'no memory'))

        self.assertRaises(
            exception.LibvirtFailure, self.driver._get_connection)

        self.assertIsNone(self.driver._wrapped_conn)
        self.assertIsNotNone(self.driver._conn)
        self.assertEqual(2, self.driver.connection_status().generation)


class FailureTest(DriverTestCase):

    def test_failure_disables_notifies_and_names_the_host(self) -> None:
        self.hypervisor.refuse_connections()

        error = self.assertRaises(
            exception.HypervisorUnavailable, self.driver._get_connection)

        self.assertIn('here', str(error))
        self.assertEqual('here', error.fields['host'])
        self.assertEqual([('here', False)], self.words())
        [(event_type, payload)] = self.notifier.errors
        self.assertEqual('compute.libvirt.error', event_type)
        self.assertEqual('192.0.2.9', payload['ip'])
        self.assertEqual('_connect', payload['method'])
        self.assertIn('Connection refused', str(payload['reason']))

    def test_one_notification_for_each_outage(self) -> None:
        for _ in range(2):
            self.hypervisor.refuse_connections()
            for _ in range(3):
                self.assertRaises(exception.HypervisorUnavailable,
                                  self.driver._get_new_connection)
            self.hypervisor.accept_connections()
            self.driver._get_new_connection()

        self.assertEqual(2, len(self.notifier.errors))

    def test_without_init_host_each_access_tries_again(self) -> None:
        self.hypervisor.refuse_connections()
        self.assertRaises(
            exception.HypervisorUnavailable, self.driver._get_connection)
        self.hypervisor.accept_connections()

        self.assertIsNotNone(self.driver._conn)
        self.assertEqual([('here', False), ('here', True)], self.words())

    def test_callers_of_one_attempt_fail_together(self) -> None:
        self.hypervisor.refuse_connections()
        hang = self.hypervisor.block('openAuth')
        results: list[Any] = []

        def release() -> None:
            hang.wait_entered()
            wait_until(lambda: threading.active_count() > 20, 'callers')
            hang.release()

        results = fake_ports.run_threads(
            [release] + [self.driver._get_connection] * 20)

        self.assertEqual(
            [exception.HypervisorUnavailable] * 20,
            [type(result) for result in results[1:]])
        self.assertEqual(1, len(self.notifier.errors))

    def test_a_hung_open_has_a_deadline_and_is_closed_late(self) -> None:
        self.config.config(group='nova_libvirt_driver', connect_timeout=0.2)
        driver = self.make_driver()
        with self.hypervisor.block('openAuth'):
            self.assertRaises(exception.CallTimeout, driver._get_connection)
            self.assertEqual(
                1, driver.connection_status().abandoned_calls)

        wait_until(
            lambda: driver.connection_status().abandoned_calls == 0,
            'the call to come back')
        self.assertEqual(
            [True], [one.closed for one in self.hypervisor.connections])

    def test_a_record_that_cannot_be_written_costs_nothing(self) -> None:
        class Full(fake_ports.RecordingServiceState):
            def set_host_enabled(
                    self, host: str, *, enabled: bool, reason: str) -> None:
                raise OSError('no space left on device')

        self.service_state = Full()

        self.assertIsNotNone(self.make_driver()._conn)

    def test_service_state_may_ask_for_the_connection(self) -> None:
        seen: list[Any] = []
        driver = self.driver

        class Curious(fake_ports.RecordingServiceState):
            def set_host_enabled(
                    self, host: str, *, enabled: bool, reason: str) -> None:
                try:
                    seen.append(driver._conn)
                except exception.HypervisorUnavailable as error:
                    seen.append(error)

        self.service_state = Curious()
        driver = self.make_driver()
        self.hypervisor.refuse_connections()
        self.assertRaises(
            exception.HypervisorUnavailable, driver._get_connection)
        self.hypervisor.accept_connections()

        self.assertEqual([driver._conn], seen[1:])
        self.assertIsInstance(seen[0], exception.HypervisorUnavailable)


class SeamsTest(DriverTestCase):
    """What is replaced on the driver is what its parts call."""

    def test_get_connection_uses_get_new_connection(self) -> None:
        other = fake_libvirt.FakeConnection(self.hypervisor, 'fake:///')
        self.driver._get_new_connection = (  # type: ignore[method-assign]
            lambda: other)

        self.assertIs(other, self.driver._conn)

    def test_get_new_connection_uses_connect_and_tells_the_outcome(
            self) -> None:
        other = fake_libvirt.FakeConnection(self.hypervisor, 'fake:///')
        told: list[tuple[str, bool]] = []
        asked: list[tuple[str, bool]] = []

        def connect(uri: str, read_only: bool) -> Any:
            asked.append((uri, read_only))
            return other

        self.driver._connect = connect  # type: ignore[method-assign]
        self.driver.set_host_enabled = (  # type: ignore[method-assign]
            lambda host, enabled: told.append((host, enabled)))

        self.assertIs(other, self.driver._get_new_connection())
        self.assertEqual([('fake:///system', False)], asked)
        self.assertEqual([('here', True)], told)
        self.assertIs(other, self.driver._wrapped_conn)

    def test_an_installed_connection_is_used(self) -> None:
        other = fake_libvirt.FakeConnection(self.hypervisor, 'fake:///')

        self.driver._wrapped_conn = other

        self.assertIs(other, self.driver._conn)
        self.assertEqual(0, self.calls['openAuth'])

    def test_lifecycle_callback_reaches_the_listener(self) -> None:
        guest = self.hypervisor.add_guest('seen')
        domain = self.driver._conn.lookupByUUIDString(guest.uuid)

        self.driver._event_lifecycle_callback(
            self.driver._conn, domain, _STOPPED, 0, self.driver)

        wait_until(lambda: self.listener.events, 'the event')
        self.assertEqual(
            (guest.uuid, 'stopped'),
            (self.listener.events[0].uuid,
             self.listener.events[0].transition))


class LossTest(DriverTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.guest = self.hypervisor.add_guest('guest')

    def test_on_demand_a_loss_disables_until_the_next_access(self) -> None:
        self.driver._get_connection()

        self.hypervisor.break_connections()
        wait_until(lambda: self.service_state.enabled is False, 'disabled')

        self.assertIsNotNone(self.driver._conn)
        self.assertTrue(self.service_state.enabled)

    def test_supervised_it_comes_back_by_itself(self) -> None:
        self.driver.init_host('here')

        self.hypervisor.break_connections()

        wait_until(
            lambda: self.driver.connection_status().generation == 2,
            'a new connection')
        self.assertEqual(['guest'], self.driver.list_instances())
        self.assertTrue(self.service_state.enabled)
        self.assertEqual([], self.notifier.errors)

    def test_supervised_callers_fail_at_once_after_a_failed_attempt(
            self) -> None:
        self.driver.init_host('here')
        self.hypervisor.refuse_connections()
        self.hypervisor.break_connections()
        wait_until(lambda: self.service_state.enabled is False, 'disabled')

        with self.hypervisor.block('openAuth') as hang:
            self.assertTrue(hang.wait_entered())
            attempts = self.calls['openAuth']
            results = fake_ports.run_threads(
                [self.driver.list_instances] * 200)
            self.assertEqual(attempts, self.calls['openAuth'])

        self.assertEqual({exception.HypervisorUnavailable},
                         {type(result) for result in results})
        self.hypervisor.accept_connections()
        wait_until(lambda: self.service_state.enabled, 'enabled again')
        self.assertEqual(1, len(self.notifier.errors))

    def test_init_host_without_libvirt_connects_later(self) -> None:
        self.hypervisor.refuse_connections()

        self.driver.init_host('here')

        self.assertFalse(self.service_state.enabled)
        self.hypervisor.accept_connections()
        wait_until(lambda: self.service_state.enabled, 'enabled')
        self.assertEqual(['guest'], self.driver.list_instances())

    def test_a_stale_close_callback_changes_nothing(self) -> None:
        self.driver.init_host('here')
        old = self.hypervisor.connections[0]
        new = self.driver._get_new_connection()

        old.break_()
        self.driver.list_instances()

        self.assertIs(new, self.driver._wrapped_conn)
        self.assertEqual(2, self.driver.connection_status().generation)

    def test_closing_inside_a_call_on_the_same_thread(self) -> None:
        self.driver.init_host('here')
        self.hypervisor.break_next('getAllDomainStats')

        self.assertRaises(
            exception.HypervisorUnavailable, self.driver.list_instances)

        wait_until(
            lambda: self.driver.connection_status().generation == 2,
            'a new connection')
        self.assertEqual(['guest'], self.driver.list_instances())

    def test_old_connections_leave_nothing_registered(self) -> None:
        self.driver.init_host('here')
        for generation in range(2, 22):
            self.hypervisor.break_connections()
            self._wait_for_connection(generation)

        wait_until(
            lambda: all(one.closed
                        for one in self.hypervisor.connections[:-1]),
            'old connections to be closed')
        self.assertEqual(10, self.hypervisor.callback_count())

    def _wait_for_connection(self, generation: int) -> None:
        wait_until(
            lambda: self.driver.connection_status().generation == generation
            and self.driver._wrapped_conn is not None,
            f'connection {generation}')

    def test_a_missed_stop_is_told_once_and_marked(self) -> None:
        self.driver.init_host('here')
        self.hypervisor.refuse_connections()
        self.hypervisor.break_connections()
        self.guest.state = libvirt.VIR_DOMAIN_SHUTOFF
        self.hypervisor.accept_connections()

        wait_until(lambda: self.listener.events, 'the missed stop')
        self.driver._get_new_connection()

        self.assertEqual(
            [('stopped', True)],
            [(item.transition, item.synthesized)
             for item in self.listener.events])

    def test_events_of_a_new_connection_follow_the_missed_ones(
            self) -> None:
        self.driver.init_host('here')
        self.hypervisor.refuse_connections()
        self.hypervisor.break_connections()
        self.guest.state = libvirt.VIR_DOMAIN_SHUTOFF
        with self.hypervisor.block('getAllDomainStats') as hang:
            self.hypervisor.accept_connections()
            self.assertTrue(hang.wait_entered())
            # It starts after the subscription and before the listing.
            self.hypervisor.emit(_LIFECYCLE, self.guest, _STARTED, 0)

        wait_until(lambda: len(self.listener.events) >= 2, 'two events')
        self.assertEqual(['stopped', 'started'],
                         self.listener.transitions('guest'))

    def test_cleanup_closes_everything_and_reconnects_no_more(self) -> None:
        self.driver.init_host('here')

        self.driver.cleanup_host('here')

        wait_until(lambda: not self.hypervisor.live_connections(),
                   'the connection to be closed')
        self.assertEqual(0, self.hypervisor.callback_count())
        self.assertEqual(_State.DISCONNECTED,
                         self.driver.connection_status().state)

    def test_cleanup_during_an_outage_is_quick(self) -> None:
        self.config.config(group='nova_libvirt_driver',
                           reconnect_interval=30, reconnect_interval_max=30)
        driver = self.make_driver()
        self.hypervisor.refuse_connections()
        driver.init_host('here')

        [result] = fake_ports.run_threads(
            [lambda: driver.cleanup_host('here')], timeout_s=20)

        self.assertIsNone(result)
