# SPDX-License-Identifier: Apache-2.0

"""What the fake connection and real ones have in common.

Subclasses say how to open a connection to a hypervisor that has one guest,
named "one" and shut off. The same tests then run against all of them, so
that the fake cannot lie.
"""

from collections.abc import Callable
import gc
import time
from typing import Any

import libvirt

from nova_libvirt_driver.testing import guests
from tests import base

GUEST = 'one'
UUID = '4c2a9a1e-7d7c-4a58-9f3e-2b1f6b1b7a11'
UNKNOWN_UUID = '00000000-0000-4000-8000-000000000001'
LIFECYCLE = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
EVENT_WAIT_S = 60.0


def wait_for(condition: Callable[[], bool]) -> bool:
    """Poll for a bounded time."""
    deadline = time.monotonic() + EVENT_WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Contract(base.TestCase):
    """Shared by the groups below."""

    def open(self, *, read_only: bool = False) -> Any:
        """Open a connection; closed at the end of the test."""
        raise NotImplementedError

    def assert_fails(
        self, codes: tuple[int, ...], call: Callable[..., Any], *args: Any
    ) -> libvirt.libvirtError:
        # An object of libvirt's that is collected as garbage between the end
        # of the call and the making of the error resets the thread's error.
        gc.disable()
        try:
            error = self.assertRaises(libvirt.libvirtError, call, *args)
        finally:
            gc.enable()
        self.assertIn(error.get_error_code(), codes)
        self.assertEqual(error.get_error_message(), str(error))
        return error


class ConnectionContract(Contract):
    """What every connection does."""

    def test_host_is_described(self) -> None:
        connection = self.open()

        self.assertEqual(1, connection.isAlive())
        self.assertIn(':///', connection.getURI())
        self.assertIsInstance(connection.getHostname(), str)
        self.assertGreaterEqual(connection.getLibVersion(), 9_000_000)
        self.assertGreater(connection.getVersion(), 0)
        self.assertIsInstance(connection.getFreeMemory(), int)
        self.assertIn('<capabilities>', connection.getCapabilities())
        self.assertEqual(
            [str] + [int] * 7, [type(item) for item in connection.getInfo()])

    def test_guest_is_found_and_listed(self) -> None:
        connection = self.open()

        found = (connection.lookupByName(GUEST),
                 connection.lookupByUUIDString(UUID),
                 *connection.listAllDomains(),
                 *(domain for domain, _ in connection.getAllDomainStats()))

        self.assertEqual(4, len(found))
        for domain in found:
            self.assertEqual(GUEST, domain.name())
            self.assertEqual(UUID, domain.UUIDString())
            self.assertEqual(-1, domain.ID())

    def test_unknown_guest_is_no_domain(self) -> None:
        connection = self.open()
        codes = (libvirt.VIR_ERR_NO_DOMAIN,)

        self.assert_fails(codes, connection.lookupByName, 'two')
        self.assert_fails(
            codes, connection.lookupByUUIDString, UNKNOWN_UUID)

    def test_state_follows_what_is_done(self) -> None:
        domain = self.open().lookupByName(GUEST)
        seen = [(domain.state()[0], domain.isActive())]

        for act in (domain.create, domain.suspend, domain.resume,
                    domain.destroy):
            self.assertEqual(0, act())
            seen.append((domain.state()[0], domain.isActive()))

        self.assertEqual([
            (libvirt.VIR_DOMAIN_SHUTOFF, 0),
            (libvirt.VIR_DOMAIN_RUNNING, 1),
            (libvirt.VIR_DOMAIN_PAUSED, 1),
            (libvirt.VIR_DOMAIN_RUNNING, 1),
            (libvirt.VIR_DOMAIN_SHUTOFF, 0)], seen)

    def test_reasons_are_told(self) -> None:
        domain = self.open().lookupByName(GUEST)
        domain.create()

        started = domain.state()
        domain.destroy()

        self.assertEqual([libvirt.VIR_DOMAIN_RUNNING,
                          libvirt.VIR_DOMAIN_RUNNING_BOOTED], started)
        self.assertEqual([libvirt.VIR_DOMAIN_SHUTOFF,
                          libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED],
                         domain.state())

    def test_handle_has_the_id_of_a_guest_that_it_started(self) -> None:
        domain = self.open().lookupByName(GUEST)

        domain.create()

        self.addCleanup(domain.destroy)
        self.assertGreater(domain.ID(), 0)

    def test_lists_are_filtered_by_activity(self) -> None:
        connection = self.open()
        active = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
        inactive = libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE

        self.assertEqual(0, len(connection.listAllDomains(active)))
        self.assertEqual(1, len(connection.listAllDomains(inactive)))
        self.assertEqual(
            1, len(connection.listAllDomains(active | inactive)))

    def test_statistics_hold_state_and_reason(self) -> None:
        connection = self.open()

        ((_, values),) = connection.getAllDomainStats(
            libvirt.VIR_DOMAIN_STATS_STATE)

        self.assertEqual(libvirt.VIR_DOMAIN_SHUTOFF, values['state.state'])
        self.assertIsInstance(values['state.reason'], int)

    def test_info_holds_state_memory_and_processors(self) -> None:
        # The test driver makes the processor time up.
        *info, time_ns = self.open().lookupByName(GUEST).info()

        self.assertEqual(
            [libvirt.VIR_DOMAIN_SHUTOFF, 32 * 1024, 32 * 1024, 1], info)
        self.assertIsInstance(time_ns, int)

    def test_wrong_state_is_refused(self) -> None:
        domain = self.open().lookupByName(GUEST)
        codes = (libvirt.VIR_ERR_OPERATION_INVALID,
                 # so says the test driver
                 libvirt.VIR_ERR_INTERNAL_ERROR)

        self.assert_fails(codes, domain.destroy)
        self.assert_fails(codes, domain.suspend)
        domain.create()
        self.addCleanup(domain.destroy)
        self.assert_fails(codes, domain.create)

    def test_lifecycle_events_come_in_order(self) -> None:
        connection = self.open()
        domain = connection.lookupByName(GUEST)
        events: list[tuple[Any, ...]] = []
        connection.domainEventRegisterAny(
            None, LIFECYCLE, lambda *args: events.append(args), 'opaque')

        for act in (domain.create, domain.suspend, domain.resume,
                    domain.destroy):
            act()

        self.assertTrue(wait_for(lambda: self._stopped(events)))
        kinds = [args[2] for args in events]
        # QEMU reports the shutdown in between, the test driver does not.
        self.assertEqual(set(), {
            libvirt.VIR_DOMAIN_EVENT_STARTED,
            libvirt.VIR_DOMAIN_EVENT_SUSPENDED,
            libvirt.VIR_DOMAIN_EVENT_RESUMED} - set(kinds))
        self.assertEqual(libvirt.VIR_DOMAIN_EVENT_STOPPED, kinds[-1])
        for args in events:
            self.assertIs(connection, args[0])
            self.assertEqual(UUID, args[1].UUIDString())
            self.assertEqual('opaque', args[4])

    def _stopped(self, events: list[tuple[Any, ...]]) -> bool:
        return (libvirt.VIR_DOMAIN_EVENT_STOPPED,
                libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED) in [
                    args[2:4] for args in events]

    def test_definition_that_is_no_xml_is_refused(self) -> None:
        self.assert_fails(
            (libvirt.VIR_ERR_XML_ERROR, libvirt.VIR_ERR_XML_DETAIL),
            self.open().defineXMLFlags, '<domain', 0)

    def test_metadata_is_kept_without_its_namespace(self) -> None:
        domain = self.open().lookupByName(GUEST)
        kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
        codes = (libvirt.VIR_ERR_NO_DOMAIN_METADATA,)

        self.assert_fails(codes, domain.metadata, kind, 'http://ours')
        domain.setMetadata(kind, '<a><b>x</b></a>', 'our', 'http://ours',
                           libvirt.VIR_DOMAIN_AFFECT_CONFIG)

        self.assertEqual(
            '<a><b>x</b></a>',
            ''.join(domain.metadata(kind, 'http://ours').split()))
        self.assertIn('<our:b>x</our:b>', domain.XMLDesc(0))
        self.assert_fails(codes, domain.metadata, kind, 'http://theirs')

    def test_guest_is_saved_and_goes_on(self) -> None:
        domain = self.open().lookupByName(GUEST)
        domain.create()

        domain.managedSave(0)
        saved = (domain.state(), domain.hasManagedSaveImage(0))
        domain.createWithFlags(0)
        self.addCleanup(domain.destroy)

        self.assertEqual(([libvirt.VIR_DOMAIN_SHUTOFF,
                           libvirt.VIR_DOMAIN_SHUTOFF_SAVED], 1), saved)
        self.assertEqual(libvirt.VIR_DOMAIN_RUNNING, domain.state()[0])
        self.assertEqual(0, domain.hasManagedSaveImage(0))

    def test_statistics_of_one_guest_are_told(self) -> None:
        connection = self.open()
        domain = connection.lookupByName(GUEST)

        ((found, values),) = connection.domainListGetStats([domain])

        self.assertEqual(UUID, found.UUIDString())
        self.assertEqual(libvirt.VIR_DOMAIN_SHUTOFF, values['state.state'])

    def test_unsubscribed_callback_is_not_called_again(self) -> None:
        connection = self.open()
        domain = connection.lookupByName(GUEST)
        first: list[int] = []
        second: list[int] = []
        number = connection.domainEventRegisterAny(
            None, LIFECYCLE, lambda *args: first.append(args[2]), None)
        connection.domainEventDeregisterAny(number)
        connection.domainEventRegisterAny(
            None, LIFECYCLE, lambda *args: second.append(args[2]), None)

        domain.create()
        domain.destroy()

        self.assertTrue(wait_for(
            lambda: libvirt.VIR_DOMAIN_EVENT_STOPPED in second))
        self.assertEqual([], first)

    def test_second_subscription_to_an_event_is_refused(self) -> None:
        connection = self.open()

        def subscribe() -> None:
            connection.domainEventRegisterAny(
                None, LIFECYCLE, lambda *args: None, None)

        subscribe()

        self.assert_fails((libvirt.VIR_ERR_INVALID_ARG,), subscribe)

    def test_unknown_callback_cannot_be_unsubscribed(self) -> None:
        connection = self.open()

        self.assert_fails((libvirt.VIR_ERR_INVALID_ARG,),
                          connection.domainEventDeregisterAny, 77)

    def test_close_callback_is_taken_and_given_back(self) -> None:
        connection = self.open()

        self.assertEqual(
            0, connection.registerCloseCallback(lambda *args: None, None))
        connection.unregisterCloseCallback()

    def test_closed_connection_is_invalid(self) -> None:
        connection = self.open()
        codes = (libvirt.VIR_ERR_INVALID_CONN,)

        connection.close()

        for call in (connection.getLibVersion, connection.isAlive,
                     connection.getURI, connection.getType,
                     connection.listAllDomains,
                     connection.getAllDomainStats, connection.close):
            self.assert_fails(codes, call)

    def test_read_only_connection_looks_but_does_not_act(self) -> None:
        connection = self.open(read_only=True)
        codes = (libvirt.VIR_ERR_OPERATION_DENIED,)

        domain = connection.lookupByName(GUEST)

        self.assertEqual(1, len(connection.listAllDomains()))
        self.assertEqual(libvirt.VIR_DOMAIN_SHUTOFF, domain.state()[0])
        self.assert_fails(codes, domain.create)
        self.assert_fails(codes, domain.destroy)


class DefinitionContract(Contract):
    """Definitions and power, for hypervisors that run nothing.

    QEMU takes no guest of another kind, and one without a system in it
    obeys nobody.
    """

    def test_guest_is_defined_and_undefined(self) -> None:
        connection = self.open()
        xml = guests.guest_xml_for_test_driver(
            'new', uuid=UNKNOWN_UUID, memory_mib=64)

        domain = connection.defineXMLFlags(
            xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        found = connection.lookupByUUIDString(UNKNOWN_UUID)
        self.assertEqual(('new', libvirt.VIR_DOMAIN_SHUTOFF, 64 * 1024),
                         (domain.name(), *found.info()[:2]))
        self.assertIn(UNKNOWN_UUID, found.XMLDesc(0))
        domain.undefineFlags(0)

        self.assert_fails((libvirt.VIR_ERR_NO_DOMAIN,),
                          connection.lookupByUUIDString, UNKNOWN_UUID)

    def test_name_belongs_to_one_guest(self) -> None:
        xml = guests.guest_xml_for_test_driver(GUEST, uuid=UNKNOWN_UUID)

        error = self.assert_fails(
            (libvirt.VIR_ERR_OPERATION_FAILED,),
            self.open().defineXMLFlags, xml, 0)

        self.assertIn(f'already exists with uuid {UUID}', str(error))

    def test_live_xml_has_an_id(self) -> None:
        domain = self.open().lookupByName(GUEST)
        stopped = domain.XMLDesc(0)

        domain.create()
        self.addCleanup(domain.destroy)

        self.assertNotIn(' id=', stopped)
        self.assertIn(f" id='{domain.ID()}'",
                      domain.XMLDesc(0).replace('"', "'"))

    def test_guest_that_obeys_shuts_down(self) -> None:
        domain = self.open().lookupByName(GUEST)
        domain.create()

        domain.shutdown()

        self.assertEqual(libvirt.VIR_DOMAIN_SHUTOFF, domain.state()[0])


class LinkContract(Contract):
    """What a connection does whose other side may go away."""

    def cut_link(self, connection: Any) -> None:
        """Let the other side go away without a word."""
        raise NotImplementedError

    def restore(self) -> None:
        """Let the other side come back."""

    def _cut(self) -> Any:
        connection = self.open()
        closed: list[tuple[Any, ...]] = []
        connection.registerCloseCallback(
            lambda *args: closed.append(args), 'opaque')
        self.cut_link(connection)
        self.addCleanup(self.restore)
        self.assertTrue(wait_for(lambda: bool(closed)))
        self.assertEqual(
            [(connection, libvirt.VIR_CONNECT_CLOSE_REASON_EOF, 'opaque')],
            closed)
        return connection

    def _assert_dead(self, call: Callable[..., Any], *args: Any) -> None:
        error = self.assert_fails(
            (libvirt.VIR_ERR_INTERNAL_ERROR,), call, *args)
        self.assertEqual(libvirt.VIR_FROM_RPC, error.get_error_domain())

    def test_calls_fail_on_a_dead_link(self) -> None:
        connection = self._cut()

        for call in (connection.getLibVersion, connection.getHostname,
                     connection.listAllDomains, connection.getInfo,
                     connection.getAllDomainStats,
                     connection.getCapabilities):
            self._assert_dead(call)
        self._assert_dead(connection.lookupByName, GUEST)

    def test_some_answers_need_no_link(self) -> None:
        connection = self._cut()

        self.assertEqual(0, connection.isAlive())
        self.assertIn(':///', connection.getURI())
        self.assertEqual('remote', connection.getType())
        self.assertEqual(0, connection.getFreeMemory())

    def test_handle_keeps_its_names_on_a_dead_link(self) -> None:
        connection = self.open()
        domain = connection.lookupByName(GUEST)

        self.cut_link(connection)
        self.addCleanup(self.restore)
        wait_for(lambda: not connection.isAlive())

        self.assertEqual((GUEST, UUID), (domain.name(), domain.UUIDString()))
        self._assert_dead(domain.state)

    def test_callbacks_cannot_be_given_back_on_a_dead_link(self) -> None:
        connection = self.open()
        number = connection.domainEventRegisterAny(
            None, LIFECYCLE, lambda *args: None, None)
        connection.registerCloseCallback(lambda *args: None, None)

        self.cut_link(connection)
        self.addCleanup(self.restore)
        wait_for(lambda: not connection.isAlive())

        self._assert_dead(connection.domainEventDeregisterAny, number)
        self._assert_dead(connection.unregisterCloseCallback)

    def test_keepalive_can_be_set(self) -> None:
        self.assertEqual(0, self.open().setKeepAlive(5, 5))

    def test_there_is_one_close_callback(self) -> None:
        connection = self.open()
        connection.registerCloseCallback(lambda *args: None, None)

        self.assert_fails((libvirt.VIR_ERR_OPERATION_INVALID,),
                          connection.registerCloseCallback,
                          lambda *args: None, None)

    def test_close_callback_that_is_not_there_is_not_given_back(
            self) -> None:
        self.assert_fails((libvirt.VIR_ERR_OPERATION_INVALID,),
                          self.open().unregisterCloseCallback)


class CredentialsContract(Contract):
    """How credentials are asked for: "operator" is known by "secret"."""

    def open_auth(self, auth: list[Any]) -> Any:
        """Open a connection to a hypervisor that asks for credentials."""
        raise NotImplementedError

    def _answer(
        self, answers: dict[int, str | None]
    ) -> tuple[Callable[..., int], list[list[Any]]]:
        requests: list[list[Any]] = []

        def callback(asked: Any, opaque: object) -> int:
            for request in asked:
                requests.append([*request, opaque])
                request[4] = answers[request[0]]
            return 0

        return callback, requests

    def test_name_and_password_are_asked_for_one_by_one(self) -> None:
        name, secret = libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_PASSPHRASE
        callback, requests = self._answer(
            {name: 'operator', secret: 'secret'})

        self.open_auth([[name, secret], callback, 'opaque'])

        # Libvirt 9 gives each a challenge, libvirt 11 the name alone.
        self.assertIn(requests[1].pop(2), ('localhost', None))
        self.assertEqual([
            [name, 'Enter username for localhost', 'localhost', None, None,
             'opaque'],
            [secret, "Enter operator's password for localhost", None, None,
             'opaque']], requests)

    def test_password_may_be_asked_for_without_echo(self) -> None:
        name, secret = (libvirt.VIR_CRED_AUTHNAME,
                        libvirt.VIR_CRED_NOECHOPROMPT)
        callback, requests = self._answer(
            {name: 'operator', secret: 'secret'})

        self.open_auth([[name, secret], callback, None])

        self.assertEqual([name, secret], [item[0] for item in requests])

    def test_wrong_password_is_refused(self) -> None:
        name, secret = libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_PASSPHRASE
        callback, _ = self._answer({name: 'operator', secret: 'wrong'})

        self.assert_fails((libvirt.VIR_ERR_AUTH_FAILED,), self.open_auth,
                          [[name, secret], callback, None])

    def test_callback_may_refuse(self) -> None:
        types = [libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_PASSPHRASE]

        self.assert_fails((libvirt.VIR_ERR_AUTH_FAILED,), self.open_auth,
                          [types, lambda asked, opaque: -1, None])

    def test_missing_credential_type_is_refused(self) -> None:
        name = libvirt.VIR_CRED_AUTHNAME
        callback, _ = self._answer({name: 'operator'})

        # Libvirt 9 says the first, libvirt 11 the second.
        self.assert_fails(
            (libvirt.VIR_ERR_AUTH_FAILED,
             libvirt.VIR_ERR_OPERATION_UNSUPPORTED), self.open_auth,
            [[name], callback, None])
