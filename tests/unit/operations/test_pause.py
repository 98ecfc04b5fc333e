# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.operations import pause
from tests.unit.operations import verbs


class PauseTest(verbs.VerbTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.pause = pause.Pause(self.guests, self.exclusive)

    def test_guest_is_paused_and_goes_on(self) -> None:
        added = self.add_guest()

        for act, state in ((self.pause.pause, libvirt.VIR_DOMAIN_PAUSED),
                           (self.pause.unpause, libvirt.VIR_DOMAIN_RUNNING)):
            act(verbs.INSTANCE)
            act(verbs.INSTANCE)

            self.assertEqual(state, added.state)

    def test_stopped_guest_is_in_the_wrong_state(self) -> None:
        self.add_guest(state=libvirt.VIR_DOMAIN_SHUTOFF)

        for act in (self.pause.pause, self.pause.unpause):
            self.assertRaises(exception.WrongState, act, verbs.INSTANCE)

    def test_missing_guest_is_not_found(self) -> None:
        self.assertRaises(exception.InstanceNotFound, self.pause.pause,
                          verbs.INSTANCE)
