# SPDX-License-Identifier: Apache-2.0

"""More events than a listener can take."""

import threading
from typing import Any

import libvirt

from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.testing import fake_ports
from tests.faults import base

EVENTS = 10_000
CALLBACKS_S = 10.0 + base.MARGIN_S
DRAINED_S = 30.0 + base.MARGIN_S
LANE_LIMIT = 1000

_PAUSED = (libvirt.VIR_DOMAIN_EVENT_SUSPENDED,
           libvirt.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED)
_RESUMED = (libvirt.VIR_DOMAIN_EVENT_RESUMED,
            libvirt.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED)


class EventStormTest(base.ConnectionFaultTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.release = threading.Event()
        self.addCleanup(self.release.set)
        self.driver = self.connect()
        self.addCleanup(lambda: vars(self).pop('driver'))
        self.driver.register_event_listener(self.listen)
        self.start_guest('noisy')
        self.start_guest('quiet')
        base.wait_until(lambda: self.listener.transitions('quiet'),
                        'its start', timeout_s=base.EVENT_S)

    def listen(self, item: event.LifecycleEvent) -> None:
        if item.name == 'noisy':
            self.release.wait(CALLBACKS_S + DRAINED_S)
        self.listener(item)

    def storm(self) -> None:
        """Call back as libvirt does: on a thread that is not green."""
        connection = libvirt.open(self.host.uri)
        domain = connection.lookupByName('noisy')

        def call_back() -> None:
            for number in range(EVENTS):
                self.driver._event_lifecycle_callback(
                    connection, domain, *(_RESUMED if number % 2
                                          else _PAUSED), None)

        thread = runtime.original('threading').Thread(target=call_back)
        thread.start()
        base.wait_until(lambda: not thread.is_alive(), 'the end',
                        timeout_s=CALLBACKS_S)
        connection.close()

    def test_nobody_is_held_up_and_what_came_last_counts(self) -> None:
        looks = fake_ports.run_threads(
            [self.storm] + [self.look] * 2, timeout_s=2 * CALLBACKS_S)

        self.assertEqual([None] * 3, looks)
        base.wait_until(self.is_booked, 'all events in their lane',
                        timeout_s=DRAINED_S)
        waiting = self.status().queued_events
        self.assertLessEqual(waiting, LANE_LIMIT + 1)
        # Those, the start, and what was left out.
        self.assertEqual(EVENTS + 1, waiting + self.status().coalesced_events)

        self.release.set()
        base.wait_until(lambda: not self.status().queued_events,
                        'the events', timeout_s=DRAINED_S)
        told = self.listener.transitions('noisy')
        self.assertEqual(waiting, len(told))
        self.assertEqual(['paused', 'resumed'], told[-2:])
        self.assert_recovers(self.driver, 'noisy', 'quiet')
        self.assertEqual(1, self.status().generation)

    def status(self) -> Any:
        return self.driver.connection_status()

    def is_booked(self) -> bool:
        status = self.status()
        return bool(status.queued_events + status.coalesced_events
                    == EVENTS + 1 and status.coalesced_events)

    def look(self) -> None:
        for _ in range(20):
            with base.within(base.MARGIN_S):
                self.assertIn('quiet', self.driver.list_instances())

    def test_a_quiet_guest_is_heard_of_meanwhile(self) -> None:
        self.storm()

        self.host.virsh('destroy', 'quiet')

        base.wait_until(
            lambda: self.listener.transitions('quiet')[-1:] == ['stopped'],
            'the stop of the quiet guest', timeout_s=base.EVENT_S)
        self.assertEqual([], self.listener.transitions('noisy'))
        self.release.set()
