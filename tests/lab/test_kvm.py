# SPDX-License-Identifier: Apache-2.0

"""Guests whose processors are those of the host."""

from nova_libvirt_driver.spec import instance as instance_spec
from tests.lab import base

State = instance_spec.PowerState
SNAPSHOT_ID = '8a8a2be9-44a8-4f6e-8d20-7f3b58b1e3c2'


class KvmTest(base.LabTestCase):

    def test_the_life_of_a_guest(self) -> None:
        before = self.look_at_host()
        spec = self.spawn(self.boot_guest('guest'))
        xml = self.virsh('dumpxml', 'guest')
        self.assertIn("<domain type='kvm'", xml)
        self.assertIn("mode='host-passthrough'", xml)

        self.driver.pause(spec)
        self.assertIs(State.PAUSED, self.state(spec))
        self.driver.unpause(spec)
        self.assertIs(State.RUNNING, self.state(spec))
        self.driver.suspend(spec)
        self.assertIn('guest', self.virsh(
            'list', '--all', '--with-managed-save'))
        self.driver.resume(spec)
        self.assertIs(State.RUNNING, self.state(spec))
        # It went on and did not boot; its log began again.
        self.assertNotIn('guest is up', self.console(spec))
        self.driver.snapshot(spec, SNAPSHOT_ID)
        self.assertIn(SNAPSHOT_ID, self.images.ids)
        self.driver.power_off(spec)
        self.assertIs(State.SHUTDOWN, self.state(spec))
        self.driver.power_on(spec)
        self.wait_up(spec)

        self.driver.destroy(spec)
        self.assert_host_is(before)
