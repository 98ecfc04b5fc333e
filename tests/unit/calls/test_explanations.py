# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import explanations
from tests import base
from tests import guests

# As libvirt 9.0 words them.
MESSAGES = (
    (libvirt.VIR_ERR_OPERATION_TIMEOUT,
     'Timed out during operation: cannot acquire state change lock (held by '
     'monitor=remoteDispatchDomainSuspend)', 'virsh domjobinfo'),
    (libvirt.VIR_ERR_INTERNAL_ERROR,
     'internal error: process exited while connecting to monitor: Could not '
     'access KVM kernel module: Permission denied', 'virt_type = qemu'),
    (libvirt.VIR_ERR_INTERNAL_ERROR,
     'internal error: process exited while connecting to monitor: '
     'qemu-system-x86_64: cannot set up guest memory', 'free memory'),
    (libvirt.VIR_ERR_INTERNAL_ERROR,
     'internal error: process exited while connecting to monitor: '
     'Failed to get "write" lock', 'lsof'),
    (libvirt.VIR_ERR_INTERNAL_ERROR,
     'internal error: qemu unexpectedly closed the monitor: something else',
     'log below'),
    (libvirt.VIR_ERR_SYSTEM_ERROR,
     "Failed to connect socket to '/run/libvirt/libvirt-sock': Permission "
     'denied', 'libvirt group'),
    (libvirt.VIR_ERR_SYSTEM_ERROR,
     "Cannot access storage file '/i/disk': No such file or directory",
     'owner and modes'),
    (libvirt.VIR_ERR_SYSTEM_ERROR,
     "error writing '/i/x': No space left on device", 'make room'),
)


# With the part of libvirt that says it, and what is to be typed.
OF_PARTS = (
    (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_FROM_NETWORK,
     "Requested operation is not valid: network 'default' is not active",
     'virsh net-start default'),
    (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_FROM_NETWORK,
     "Requested operation is not valid: network 'a b' is not active",
     "virsh net-start 'a b'"),
    (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_FROM_STORAGE,
     "Requested operation is not valid: storage pool 'p' is not active",
     'virsh pool-start p'),
    (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_FROM_NETWORK,
     'Requested operation is not valid: network is already active',
     'virsh net-list'),
    (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_FROM_SECRET,
     'Requested operation is not valid: secret is private', 'see how it is'),
    (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_FROM_QEMU,
     'Requested operation is not valid: domain is not running', 'start it'),
    (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC,
     "Failed to connect socket to '/run/libvirt/virtlogd-sock': Connection "
     'refused', 'systemctl start virtlogd.socket virtlogd'),
    (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC,
     "Failed to connect socket to '/var/run/libvirt/virtnetworkd-sock': No "
     'such file or directory', 'virtnetworkd.socket'),
)


class FindTest(base.TestCase):

    def test_what_is_not_about_a_guest_is_not_said_of_one(self) -> None:
        for code, domain, message, step in OF_PARTS:
            found = explanations.find(code, message, domain)

            assert found is not None, message
            self.assertIn(step, found.next_step, message)
            if domain != libvirt.VIR_FROM_QEMU:
                self.assertNotIn('guest is in', found.cause)

    def test_messages_of_libvirt_are_known(self) -> None:
        for code, message, step in MESSAGES:
            found = explanations.find(code, message)

            assert found is not None, message
            self.assertIn(step, found.next_step, message)

    def test_what_nobody_knows_is_not_explained(self) -> None:
        self.assertIsNone(explanations.find(
            libvirt.VIR_ERR_INTERNAL_ERROR, 'internal error: 42'))
        self.assertIsNone(explanations.find(None, ''))

    def test_every_code_has_a_name_of_libvirt(self) -> None:
        for each in explanations.table():
            self.assertTrue(each.name.startswith('VIR_ERR_'), each)

    def test_no_entry_hides_behind_another(self) -> None:
        seen: set[int] = set()
        for each in explanations.table():
            self.assertNotIn(each.code, seen, str(each))
            if not each.words and not each.domains:
                seen.add(each.code)

    def test_there_are_thirty_at_least(self) -> None:
        self.assertGreaterEqual(len(explanations.table()), 30)

    def test_an_error_of_ours_carries_it(self) -> None:
        error = errors.translate(
            guests.failure(*MESSAGES[1][:2]), host='here',
            tried='start the guest')

        self.assertIn('/dev/kvm is missing', error.next_step)
        self.assertIn('start the guest', str(error))


class SearchTest(base.TestCase):

    def test_number_and_name_find_the_same(self) -> None:
        found = explanations.search('68')

        self.assertEqual(1, len(found))
        for words in ('VIR_ERR_OPERATION_TIMEOUT', 'operation_timeout'):
            self.assertEqual(found, explanations.search(words))

    def test_words_find_what_is_like_them(self) -> None:
        found, = explanations.search('cannot acquire State Change lock')

        self.assertEqual(68, found.code)

    def test_one_number_may_have_several_causes(self) -> None:
        self.assertGreater(len(explanations.search('1')), 5)

    def test_nothing_is_found_of_nonsense(self) -> None:
        self.assertEqual([], explanations.search('xyzzy'))
