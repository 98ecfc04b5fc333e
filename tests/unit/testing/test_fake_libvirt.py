# SPDX-License-Identifier: Apache-2.0

import io
import threading
from typing import Any

import fixtures
import libvirt

from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fixtures as rig_fixtures
from tests import base

AUTH: list[Any] = [[], lambda asked, opaque: -1, None]
LIFECYCLE = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE


class FakeTestCase(base.TestCase):
    """A hypervisor with one running guest."""

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor = fake_libvirt.FakeHypervisor()
        self.guest = self.hypervisor.add_guest('one')
        self.events: list[tuple[Any, ...]] = []
        self.closed: list[tuple[Any, ...]] = []

    def open(self) -> fake_libvirt.FakeConnection:
        connection = self.hypervisor.open_auth('fake:///', AUTH)
        # The type checker sees that it has all that the driver calls.
        self.real: protocol.Connection = connection
        return connection

    def subscribe(self, connection: fake_libvirt.FakeConnection) -> int:
        return connection.domainEventRegisterAny(
            None, LIFECYCLE, lambda *args: self.events.append(args), None)

    def watch(self, connection: fake_libvirt.FakeConnection) -> None:
        connection.registerCloseCallback(
            lambda *args: self.closed.append(args), None)

    def hanging(self, connection: fake_libvirt.FakeConnection
                ) -> tuple[runtime.Thread, list[Exception]]:
        errors: list[Exception] = []

        def call() -> None:
            try:
                connection.getLibVersion()
            except libvirt.libvirtError as error:
                errors.append(error)

        thread = runtime.Thread(target=call)
        thread.start()
        return thread, errors


class FaultTest(FakeTestCase):
    """What a test can let go wrong."""

    def test_error_has_everything_that_the_binding_gives(self) -> None:
        error = fake_libvirt.libvirt_error(
            libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_FROM_QEMU, 'gone')

        self.assertIsInstance(error, libvirt.libvirtError)
        self.assertEqual('gone', str(error))
        self.assertEqual(
            (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_FROM_QEMU, 'gone'),
            (error.get_error_code(), error.get_error_domain(),
             error.get_error_message()))

    def test_refused_connection_is_a_system_error(self) -> None:
        self.hypervisor.refuse_connections()

        error = self.assertRaises(libvirt.libvirtError, self.open)

        self.assertEqual(
            (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC),
            (error.get_error_code(), error.get_error_domain()))
        self.assertEqual([], self.hypervisor.connections)
        self.hypervisor.accept_connections()
        self.assertTrue(self.open().live)

    def test_one_call_fails_and_the_next_does_not(self) -> None:
        connection = self.open()
        wanted = fake_libvirt.libvirt_error(
            libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_FROM_RPC, 'no memory')

        self.hypervisor.fail_next('getLibVersion', wanted)

        self.assertIs(wanted, self.assertRaises(
            libvirt.libvirtError, connection.getLibVersion))
        self.assertEqual(9_000_000, connection.getLibVersion())
        self.assertEqual(2, self.hypervisor.calls['getLibVersion'])

    def test_call_hangs_until_it_is_released(self) -> None:
        connection = self.open()

        with self.hypervisor.block('getLibVersion') as hang:
            thread, errors = self.hanging(connection)
            self.assertTrue(hang.wait_entered())
            connection.getHostname()
            self.assertTrue(thread.is_alive())

        thread.join(10)
        self.assertFalse(thread.is_alive())
        self.assertEqual([], errors)

    def test_connection_breaks_while_a_call_hangs(self) -> None:
        connection = self.open()
        self.watch(connection)

        with self.hypervisor.block('getLibVersion') as hang:
            thread, errors = self.hanging(connection)
            self.assertTrue(hang.wait_entered())
            self.hypervisor.break_connections(
                libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE)
            self.assertEqual([
                (connection, libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE,
                 None)], self.closed)

        thread.join(10)
        self.assertEqual(['internal error: client socket is closed'],
                         [str(error) for error in errors])

    def test_close_callback_may_run_inside_a_call(self) -> None:
        connection = self.open()
        callers: list[threading.Thread] = []
        connection.registerCloseCallback(
            lambda *args: callers.append(threading.current_thread()), None)

        self.hypervisor.break_next('listAllDomains')

        self.assertRaises(libvirt.libvirtError, connection.listAllDomains)
        self.assertEqual([threading.current_thread()], callers)

    def test_connection_breaks_once(self) -> None:
        connection = self.open()
        self.watch(connection)

        connection.break_()
        connection.break_()

        self.assertEqual(1, len(self.closed))

    def test_hypervisor_may_lack_keepalive_and_events(self) -> None:
        self.hypervisor.keepalive = False
        self.hypervisor.events = False
        connection = self.open()

        for call in (lambda: connection.setKeepAlive(5, 5),
                     lambda: self.subscribe(connection)):
            error = self.assertRaises(libvirt.libvirtError, call)
            self.assertEqual(
                libvirt.VIR_ERR_NO_SUPPORT, error.get_error_code())

    def test_callback_that_raises_is_a_refusal(self) -> None:
        self.hypervisor.require_credentials('operator', 'secret')
        # Where the binding prints it, and so does the fake.
        printed = io.StringIO()
        self.useFixture(fixtures.MonkeyPatch('sys.stderr', printed))

        def callback(asked: Any, opaque: object) -> int:
            raise ZeroDivisionError

        error = self.assertRaises(
            libvirt.libvirtError, self.hypervisor.open_auth, 'fake:///',
            [[libvirt.VIR_CRED_AUTHNAME], callback, None])

        self.assertEqual(
            libvirt.VIR_ERR_AUTH_FAILED, error.get_error_code())
        self.assertIn('ZeroDivisionError', printed.getvalue())


class SharedGuestsTest(FakeTestCase):
    """Several connections and one set of guests."""

    def test_all_connections_hear_of_what_one_does(self) -> None:
        first, second = self.open(), self.open()
        self.subscribe(first)
        self.subscribe(second)

        first.lookupByName('one').destroy()

        self.assertEqual(
            [(libvirt.VIR_DOMAIN_EVENT_STOPPED,
              libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED)] * 2,
            [args[2:4] for args in self.events])
        self.assertEqual([first, second], [args[0] for args in self.events])
        self.assertEqual(0, second.lookupByName('one').isActive())

    def test_change_behind_everyones_back_sends_nothing(self) -> None:
        connection = self.open()
        self.subscribe(connection)

        self.guest.state = libvirt.VIR_DOMAIN_PAUSED

        self.assertEqual([], self.events)
        self.assertEqual(libvirt.VIR_DOMAIN_PAUSED,
                         connection.lookupByName('one').state()[0])

    def test_event_reaches_subscribers_of_its_kind_and_guest(self) -> None:
        connection = self.open()
        other = self.hypervisor.add_guest('two')
        self.subscribe(connection)
        reboots: list[str] = []
        connection.domainEventRegisterAny(
            connection.lookupByName('two'),
            libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
            lambda link, domain, opaque: reboots.append(domain.name()), None)

        for guest in (self.guest, other):
            self.hypervisor.emit(libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, guest)

        self.assertEqual(['two'], reboots)
        self.assertEqual([], self.events)

    def test_handle_of_a_removed_guest_finds_no_domain(self) -> None:
        domain = self.open().lookupByName('one')

        self.hypervisor.remove_guest(self.guest)

        error = self.assertRaises(libvirt.libvirtError, domain.state)
        self.assertEqual(libvirt.VIR_ERR_NO_DOMAIN, error.get_error_code())


class LeakTest(FakeTestCase):
    """What tells that a connection was not put away as it should."""

    def test_everything_given_back_counts_as_nothing(self) -> None:
        connection = self.open()
        number = self.subscribe(connection)
        self.watch(connection)
        self.assertEqual(2, self.hypervisor.callback_count())

        connection.domainEventDeregisterAny(number)
        connection.unregisterCloseCallback()
        connection.close()

        self.assertEqual(0, self.hypervisor.callback_count())
        self.assertEqual([], self.hypervisor.unclosed_connections())

    def test_closing_alone_leaves_the_callbacks(self) -> None:
        connection = self.open()
        self.subscribe(connection)

        connection.close()

        self.assertEqual(1, self.hypervisor.callback_count())
        self.assertEqual([], self.hypervisor.live_connections())

    def test_broken_connection_is_not_closed(self) -> None:
        connection = self.open()

        connection.break_()

        self.assertEqual([connection],
                         self.hypervisor.unclosed_connections())
        self.assertEqual([], self.hypervisor.live_connections())


class FixtureTest(base.TestCase):
    """The fake in place of the library."""

    def test_every_uri_leads_to_the_fake_while_it_is_used(self) -> None:
        fixture = rig_fixtures.FakeLibvirt()

        with fixture:
            connection = libvirt.openAuth('qemu:///system', AUTH, 0)

        self.assertEqual([connection], fixture.hypervisor.connections)
        self.assertEqual('qemu:///system', connection.getURI())
        self.assertNotEqual(fixture.hypervisor.open_auth, libvirt.openAuth)
