# SPDX-License-Identifier: Apache-2.0

"""A process that lives on makes the guest that a killed one began."""

from tests.functional import kills


class NextSpawnTest(kills.KillTestCase):

    def test_spawn_begins_anew(self) -> None:
        spec = self.guest()
        before = self.look_at_host()

        step = 0
        for step in self.each_kill('spawn', spec):
            self.driver.spawn(spec, images=self.store)
            self.wait_console(spec, 'web is up')
            self.driver.destroy(spec)
            self.assert_host_is(before)

        self.assertGreater(step, 7)
