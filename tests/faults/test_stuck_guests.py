# SPDX-License-Identifier: Apache-2.0

"""More QEMUs that stand still than anybody has threads to spare for."""

import os
import signal
import time

from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.testing import fake_ports
from tests.functional import guest_base

GUESTS = 6
HUNG_CALLS = 3
"""How many calls may be lost to them."""

LOOK_S = 2.0
MARGIN_S = 30.0
"""What a loaded machine may add to a deadline."""


class StuckGuestsTest(guest_base.GuestTestCase):
    """Their storage is gone, for example."""

    own_options = {
        'look_timeout': LOOK_S, 'native_threads': 8, 'stats_max_age': 0}

    def setUp(self) -> None:
        super().setUp()
        self.specs = [self.spawn(f'stuck{number}')
                      for number in range(GUESTS)]
        self.signal(signal.SIGSTOP)
        self.addCleanup(self.signal, signal.SIGCONT)

    def spawn(self, name: str) -> guest_spec.GuestSpec:
        spec = self.boot_guest(name)
        self.driver.spawn(spec)
        return spec

    def signal(self, number: int) -> None:
        for spec in self.specs:
            pid = self.host.guest_pid(spec.name)
            if pid is not None:
                os.kill(pid, number)

    def test_the_audit_loses_a_few_calls_to_them_and_no_more(self) -> None:
        for _ in range(5):
            started = time.monotonic()
            resources = self.driver.get_available_resource('here')

            # Of each but the first, nothing: the sizes are known.
            self.assertLess(time.monotonic() - started,
                            3 * LOOK_S + MARGIN_S)
            self.assertEqual((GUESTS, GUESTS), (
                resources.running_instances, resources.vcpus_used))
            self.assertLess(self.unresponsive(), HUNG_CALLS)

        for _ in range(3):
            # These enter every guest, each time.
            self.assertEqual(GUESTS, len(self.driver.get_disk_counters()))
        self.assertEqual(HUNG_CALLS, self.unresponsive())

        self.signal(signal.SIGCONT)

        fake_ports.wait_until(self._is_calm, 'all calls to come back',
                              timeout_s=MARGIN_S)
        self.driver.pause(self.specs[0])

    def unresponsive(self) -> int:
        """Return how many guests are known to hang."""
        status = self.driver.connection_status()
        self.assertLessEqual(status.abandoned_calls, HUNG_CALLS)
        return len(status.unresponsive)

    def _is_calm(self) -> bool:
        status = self.driver.connection_status()
        return not status.abandoned_calls and not status.unresponsive
