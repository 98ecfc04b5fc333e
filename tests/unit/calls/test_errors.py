# SPDX-License-Identifier: Apache-2.0

import pickle

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_libvirt
from tests import base

make = fake_libvirt.libvirt_error

QEMU = libvirt.VIR_FROM_QEMU
REMOTE = libvirt.VIR_FROM_REMOTE
RPC = libvirt.VIR_FROM_RPC

TRANSLATIONS = (
    (libvirt.VIR_ERR_SYSTEM_ERROR, RPC, exception.HypervisorUnavailable),
    (libvirt.VIR_ERR_SYSTEM_ERROR, REMOTE, exception.HypervisorUnavailable),
    (libvirt.VIR_ERR_INTERNAL_ERROR, RPC, exception.HypervisorUnavailable),
    (libvirt.VIR_ERR_INTERNAL_ERROR, REMOTE,
     exception.HypervisorUnavailable),
    (libvirt.VIR_ERR_INVALID_CONN, libvirt.VIR_FROM_DOM,
     exception.HypervisorUnavailable),
    # Nobody asked for a guest that could be missing.
    (libvirt.VIR_ERR_NO_DOMAIN, QEMU, exception.LibvirtFailure),
    (libvirt.VIR_ERR_OPERATION_DENIED, libvirt.VIR_FROM_DOM,
     exception.OperationRefused),
    (libvirt.VIR_ERR_ACCESS_DENIED, libvirt.VIR_FROM_ACCESS,
     exception.OperationRefused),
    (libvirt.VIR_ERR_AUTH_FAILED, libvirt.VIR_FROM_AUTH,
     exception.OperationRefused),
    (libvirt.VIR_ERR_AUTH_UNAVAILABLE, libvirt.VIR_FROM_AUTH,
     exception.OperationRefused),
    (libvirt.VIR_ERR_AUTH_CANCELLED, libvirt.VIR_FROM_AUTH,
     exception.OperationRefused),
    (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_FROM_NONE,
     exception.UnsupportedOperation),
    (libvirt.VIR_ERR_OPERATION_UNSUPPORTED, QEMU,
     exception.UnsupportedOperation),
    (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, QEMU,
     exception.UnsupportedOperation),
    (libvirt.VIR_ERR_SYSTEM_ERROR, QEMU, exception.LibvirtFailure),
    (libvirt.VIR_ERR_INTERNAL_ERROR, QEMU, exception.LibvirtFailure),
    (libvirt.VIR_ERR_NO_MEMORY, RPC, exception.LibvirtFailure),
    (libvirt.VIR_ERR_OPERATION_INVALID, QEMU, exception.LibvirtFailure),
    (999_999, 999_999, exception.LibvirtFailure),
)

OPENING = (
    (libvirt.VIR_ERR_SYSTEM_ERROR, RPC,
     "Failed to connect socket to '/run/libvirt/libvirt-sock': "
     'Permission denied', 'libvirt group'),
    (libvirt.VIR_ERR_SYSTEM_ERROR, RPC,
     "Failed to connect socket to '/run/libvirt/libvirt-sock': "
     'No such file or directory', 'start the libvirt daemon'),
    (libvirt.VIR_ERR_SYSTEM_ERROR, RPC,
     "Failed to connect socket to '/run/libvirt/libvirt-sock': "
     'Connection refused', 'start the libvirt daemon'),
    (libvirt.VIR_ERR_SYSTEM_ERROR, RPC,
     "Failed to connect socket to '/run/libvirt/virtqemud-sock': "
     'No such file or directory', 'virtqemud'),
    (libvirt.VIR_ERR_SYSTEM_ERROR, RPC,
     "Failed to connect socket to '/run/libvirt/virtqemud-sock': "
     'Connection refused', 'virtqemud'),
    (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_DBUS,
     'internal error: Unable to get system bus connection: Could not '
     'connect: No such file or directory', 'auth_unix_ro'),
    (libvirt.VIR_ERR_AUTH_FAILED, libvirt.VIR_FROM_AUTH,
     'authentication failed: authentication failed', 'auth_username'),
    (libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_FROM_NONE,
     'no connection driver available for nope:///', 'connection_uri'),
    (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_URI,
     'internal error: Unable to parse URI %%%', 'connection_uri'),
    (libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_FROM_NONE, 'out of memory',
     'nova-libvirt doctor'),
)


class TranslateTest(base.TestCase):

    def test_each_error_becomes_the_class_to_act_on(self) -> None:
        for code, domain, wanted in TRANSLATIONS:
            error = errors.translate(
                make(code, domain, 'the words of libvirt'), host='rack1',
                tried='list the guests')

            self.assertIs(wanted, type(error), f'{code}, {domain}')

    def test_words_of_libvirt_are_kept(self) -> None:
        for code, domain, _ in TRANSLATIONS:
            error = errors.translate(
                make(code, domain, 'the words of libvirt'), host='rack1',
                tried='list the guests')

            self.assertIn('the words of libvirt', str(error))

    def test_missing_guest_is_named_as_it_was_asked_for(self) -> None:
        for domain in (QEMU, RPC, libvirt.VIR_FROM_TEST):
            error = errors.translate(
                make(libvirt.VIR_ERR_NO_DOMAIN, domain, 'Domain not found'),
                host='rack1', tried='find the guest', instance='web1')

            self.assertIs(exception.InstanceNotFound, type(error))
            self.assertEqual({'instance': 'web1', 'host': 'rack1'},
                             error.fields)

    def test_other_errors_of_a_guest_do_not_make_it_missing(self) -> None:
        for code, domain, wanted in TRANSLATIONS:
            if code != libvirt.VIR_ERR_NO_DOMAIN:
                error = errors.translate(
                    make(code, domain, 'x'), host='rack1',
                    tried='find the guest', instance='web1')

                self.assertIs(wanted, type(error), f'{code}, {domain}')

    def test_host_is_named_when_it_cannot_be_used(self) -> None:
        error = errors.translate(
            make(libvirt.VIR_ERR_INTERNAL_ERROR, RPC, 'socket is closed'),
            host='rack1', tried='list the guests')

        self.assertEqual('rack1', error.fields['host'])
        self.assertIn('rack1', str(error))

    def test_other_failures_keep_their_numbers(self) -> None:
        error = errors.translate(
            make(libvirt.VIR_ERR_OPERATION_INVALID, QEMU, 'not running'),
            host='rack1', tried='stop the guest')

        self.assertEqual(
            (libvirt.VIR_ERR_OPERATION_INVALID, QEMU),
            (error.fields['code'], error.fields['domain']))

    def test_error_that_the_binding_itself_raised_has_no_numbers(
            self) -> None:
        # The binding raises these without an error of the library.
        bare = libvirt.libvirtError('no domain given')
        bare.err = None

        error = errors.translate(bare, host='rack1', tried='stop the guest')

        self.assertIsInstance(error, exception.LibvirtFailure)
        self.assertIn('no domain given', str(error))

    def test_every_translated_error_says_what_to_do(self) -> None:
        for code, domain, _ in TRANSLATIONS:
            error = errors.translate(
                make(code, domain, 'reason'), host='rack1', tried='look')

            self.assertTrue(error.next_step, f'{code}, {domain}')

    def test_errors_survive_pickling(self) -> None:
        for code, domain, wanted in TRANSLATIONS:
            error = errors.translate(
                make(code, domain, 'reason with 100 %'), host='rack1',
                tried='look')

            copy = pickle.loads(pickle.dumps(error))

            self.assertIs(wanted, type(copy))
            self.assertEqual(
                (str(error), error.fields, error.next_step),
                (str(copy), copy.fields, copy.next_step))


# Of virtlogd, of virtlockd, and of the others where daemons are modular.
OF_HELPERS = (
    "Failed to connect socket to '/run/libvirt/virtlogd-sock': No such file "
    'or directory',
    "Failed to connect socket to '/run/libvirt/virtlockd-sock': Connection "
    'refused',
    "Failed to connect socket to '/run/libvirt/virtnetworkd-sock': "
    'Permission denied',
    "internal error: unable to connect to server at '::1:16514'",
    "Failed to find virtlogd: No such file or directory",
)

OF_THE_LINK = (
    'End of file while reading data: Input/output error',
    'Cannot write data: Broken pipe',
    'Cannot recv data: Connection reset by peer',
    'internal error: client socket is closed',
    'internal error: received hangup event on socket',
    'internal error: connection closed due to keepalive timeout',
)


class BrokenLinkTest(base.TestCase):

    def test_a_helper_daemon_that_is_down_is_no_lost_connection(self) -> None:
        for words in OF_HELPERS:
            error = make(libvirt.VIR_ERR_SYSTEM_ERROR, RPC, words)
            ours = errors.translate(error, host='h', tried='start the guest')

            self.assertFalse(errors.is_broken_link(error), words)
            self.assertIs(exception.LibvirtFailure, type(ours), words)
        for words in OF_THE_LINK:
            self.assertTrue(errors.is_broken_link(
                make(libvirt.VIR_ERR_SYSTEM_ERROR, RPC, words)), words)

    def test_only_system_and_internal_errors_of_the_link_count(self) -> None:
        codes = (libvirt.VIR_ERR_SYSTEM_ERROR,
                 libvirt.VIR_ERR_INTERNAL_ERROR,
                 libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_ERR_RPC)
        domains = (REMOTE, RPC, QEMU, libvirt.VIR_FROM_NONE)
        broken = {(code, domain) for code in codes for domain in domains
                  if errors.is_broken_link(make(code, domain, 'x'))}

        self.assertEqual(
            {(libvirt.VIR_ERR_SYSTEM_ERROR, REMOTE),
             (libvirt.VIR_ERR_SYSTEM_ERROR, RPC),
             (libvirt.VIR_ERR_INTERNAL_ERROR, REMOTE),
             (libvirt.VIR_ERR_INTERNAL_ERROR, RPC)}, broken)

    def test_lack_of_a_function_is_no_failure(self) -> None:
        lacking = make(libvirt.VIR_ERR_NO_SUPPORT, QEMU, 'x')
        failing = make(libvirt.VIR_ERR_NO_MEMORY, QEMU, 'x')

        self.assertEqual((True, False), (errors.is_unsupported(lacking),
                                         errors.is_failure(lacking)))
        self.assertEqual((False, True), (errors.is_unsupported(failing),
                                         errors.is_failure(failing)))


class CannotOpenTest(base.TestCase):

    def test_advice_fits_the_cause(self) -> None:
        for code, domain, message, advice in OPENING:
            error = errors.cannot_open(
                make(code, domain, message), host='rack1',
                uri='qemu:///system')

            self.assertIn(advice, error.next_step, message)
            self.assertIn(message, str(error))
            self.assertIn('qemu:///system', str(error))
            self.assertIn('rack1', str(error))

    def test_advice_for_an_embedded_hypervisor_names_no_daemon(self) -> None:
        for message, advice in (
                ("invalid argument: Failed to parse user 'libvirt-qemu'",
                 'Debian: libvirt-daemon-system'),
                ('cannot limit core file size of process 7 to 0: Operation '
                 'not permitted', 'max_core = 0'),
                ("Failed to connect socket to '/srv/run/virtlogd-sock': No "
                 'such file or directory', 'stdio_handler = "file"'),
                ("Failed to acquire pid file '/srv/run/driver.pid': Resource "
                 'temporarily unavailable', 'another process'),
                ("cannot create '/srv/lib': Permission denied",
                 'name another'),
                ('no connection driver available for qemu:///embed',
                 'libvirt-daemon-driver-qemu'),
                ('something else', 'log/libvirt.log')):
            error = errors.cannot_open(
                make(libvirt.VIR_ERR_INTERNAL_ERROR, QEMU, message),
                host='rack1', uri='qemu:///embed?root=/srv')

            self.assertIn(advice, error.next_step, message)
            self.assertNotIn('the libvirt daemon', error.next_step)

    def test_refusal_of_our_own_is_told(self) -> None:
        error = errors.cannot_open(
            make(libvirt.VIR_ERR_AUTH_FAILED, libvirt.VIR_FROM_AUTH,
                 'authentication failed: Password request failed'),
            host='rack1', uri='qemu+tcp://peer/system',
            refusal='libvirt asked for a password and none is configured')

        self.assertIn('none is configured', str(error))
        self.assertIn('auth_password', error.next_step)

    def test_an_error_of_ours_becomes_unavailable(self) -> None:
        error = errors.cannot_open(
            exception.CallBudgetExhausted(call='opening', limit=4),
            host='rack1', uri='qemu:///system')

        self.assertIs(exception.HypervisorUnavailable, type(error))
        self.assertIn('4 calls', str(error))


class PredicateTest(base.TestCase):

    def test_agent_is_told_from_other_things_that_are_missing(self) -> None:
        missing = libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED
        for code, text, expected in (
                (libvirt.VIR_ERR_AGENT_UNRESPONSIVE, 'mute', True),
                (missing, 'QEMU guest agent is not configured', True),
                (missing, 'iothreads are not supported', False),
                (libvirt.VIR_ERR_INTERNAL_ERROR, 'guest agent', False)):
            error = make(code, QEMU, text)

            self.assertEqual(expected, errors.is_agent_unavailable(error))
            self.assertEqual(expected, isinstance(errors.translate(
                error, host='here', tried='freeze', instance='one'),
                exception.AgentUnavailable))

    def test_what_a_guest_says_is_not_passed_on(self) -> None:
        error = errors.translate(
            make(libvirt.VIR_ERR_INTERNAL_ERROR, QEMU, 'internal error: '
                 "unable to execute QEMU agent command 'x': anything"),
            host='here', tried='freeze it', instance='one')

        self.assertIs(exception.AgentUnavailable, type(error))
        self.assertIn('it refused to freeze it', str(error))
        self.assertNotIn('anything', str(error))

    def test_flag_is_told_from_other_wrong_arguments(self) -> None:
        invalid = libvirt.VIR_ERR_INVALID_ARG

        self.assertTrue(errors.is_flag_unknown(make(
            invalid, QEMU, 'unsupported flags (0x1) in function f')))
        self.assertFalse(errors.is_flag_unknown(make(
            invalid, QEMU, "disk 'vdz' not found in domain")))

    def test_link_that_is_busy_is_no_busy_process(self) -> None:
        for domain, number, expected in (
                (QEMU, 16, True), (QEMU, 2, False), (RPC, 16, False)):
            error = make(libvirt.VIR_ERR_SYSTEM_ERROR, domain, 'failed')
            error.err = (*error.err[:7], number, -1)

            self.assertEqual(expected, errors.is_busy(error))
