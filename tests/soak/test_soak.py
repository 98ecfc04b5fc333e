# SPDX-License-Identifier: Apache-2.0

"""Days of a host in less than an hour: nothing in the process may grow.

Run by ``tools/test --soak``. ``NOVA_LIBVIRT_SOAK_STARTS`` and
``NOVA_LIBVIRT_SOAK_RECONNECTS`` say how many there are. What the process holds
is printed on the way.
"""

import logging
import os

from tests.faults import base
from tests.faults import course

STARTS = int(os.environ.get('NOVA_LIBVIRT_SOAK_STARTS', '2000'))
RECONNECTS = int(os.environ.get('NOVA_LIBVIRT_SOAK_RECONNECTS', '1000'))
SPAWN_EVERY, KILL_EVERY = 10, 20


class StartsTest(base.GuestFaultTestCase):

    def test_starts_and_stops(self) -> None:
        logging.disable(logging.INFO)
        self.addCleanup(logging.disable, logging.NOTSET)
        spec = self.boot_guest('web')
        self.driver.spawn(spec)

        def stop_and_start(number: int) -> None:
            if number % SPAWN_EVERY:
                self.driver.power_off(spec)
                self.driver.power_on(spec)
            else:
                self.driver.destroy(spec)
                self.driver.spawn(spec)
            base.wait_until(
                lambda: self.listener.transitions('web')[-2:]
                == ['stopped', 'started'], 'both events',
                timeout_s=course.ROUND_S)
            self.listener.events.clear()

        base.wait_until(lambda: self.listener.events, 'its start')
        course.Course('start', STARTS, lambda: self.leaks.cut_handshakes).run(
            stop_and_start)

        self.assert_recovers('web')
        self.assertEqual(
            1, self.driver.connection_status().generation)


class ReconnectsTest(base.ConnectionFaultTestCase):

    def test_reconnects(self) -> None:
        with self.relayed() as link:
            driver = self.connect(link.uri)
            self.addCleanup(driver.cleanup_host, 'here')

            def reconnect(number: int) -> None:
                generation = driver.connection_status().generation
                if number % KILL_EVERY:
                    link.cut()
                else:
                    self.host.kill_daemon()
                    self.restart_daemon()
                base.wait_until(
                    lambda: driver.connection_status().generation
                    > generation, 'a new connection', timeout_s=course.ROUND_S)
                self.assert_recovers(driver)
                self.service_state.calls[:-1] = []
                self.notifier.errors.clear()

            course.Course(
                'reconnect', RECONNECTS,
                lambda: self.leaks.cut_handshakes).run(reconnect)
