# SPDX-License-Identifier: Apache-2.0

import json
from typing import Any

import fixtures
import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.operations import announcement
from tests import guests
from tests.unit.operations import verbs

DONE = '{"return": {}, "id": "libvirt-7"}'
REFUSED = '{"id": "libvirt-7", "error": {"desc": "no such thing"}}'


class AnnouncementTest(verbs.VerbTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.orders: list[tuple[float, dict[str, Any]]] = []
        self.answers: list[str | Exception] = []
        self.useFixture(fixtures.MonkeyPatch(
            'libvirt_qemu.qemuMonitorCommand', self.order))

    def order(self, domain: object, command: str, flags: int) -> str:
        self.orders.append((self.clock.now_s, json.loads(command)))
        answer = self.answers.pop(0) if self.answers else DONE
        if isinstance(answer, Exception):
            raise answer
        return answer

    def announce(self, count: int = 3, interval_s: float = 10) -> list[float]:
        """Announce the guest; return when that was done."""
        announcement.Announcement(self.guests).announce(
            verbs.INSTANCE, count=count, interval_s=interval_s)
        return [at_s for at_s, _ in self.orders]

    def test_qemu_is_asked_as_often_as_was_wanted(self) -> None:
        self.add_guest()

        self.assertEqual([0, 10, 20], self.announce())

        # QEMU has no default values for them.
        for _, order in self.orders:
            self.assertEqual('announce-self', order['execute'])
            self.assertEqual({'initial', 'max', 'rounds', 'step'},
                             set(order['arguments']))

    def test_a_failure_does_no_harm(self) -> None:
        self.add_guest()
        self.answers = [guests.failure(
            libvirt.VIR_ERR_INTERNAL_ERROR, 'the monitor is busy')]

        self.assertEqual([0, 10, 20], self.announce())

        self.assertIn('1 of 3', self.log.output)
        self.assertIn('the monitor is busy', self.log.output)

    def test_what_will_not_change_is_told_once(self) -> None:
        self.add_guest()
        for answer, word in (
                (guests.failure(libvirt.VIR_ERR_NO_SUPPORT,
                                'no monitor here'), 'no monitor here'),
                (REFUSED, 'no such thing')):
            self.orders.clear()
            self.answers = [answer]

            self.assertEqual(1, len(self.announce()))

            self.assertEqual(1, self.log.output.count(word))

    def test_it_ends_with_the_guest(self) -> None:
        self.add_guest()
        self.clock.at(12, lambda: self.find().destroy())

        self.assertEqual([0, 10], self.announce(5, 10))

        self.assertLess(self.clock.now_s, 20)

    def test_other_verbs_do_not_wait_for_it(self) -> None:
        self.add_guest()
        self.clock.at(5, self._pause_guest)

        self.assertEqual([0, 10], self.announce(2))

    def _pause_guest(self) -> None:
        with self.exclusive.hold(verbs.INSTANCE, 'pause'):
            self.find().pause()

    def test_a_guest_that_is_not_here_is_told(self) -> None:
        self.assertRaises(exception.InstanceNotFound, self.announce)
