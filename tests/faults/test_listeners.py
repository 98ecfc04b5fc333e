# SPDX-License-Identifier: Apache-2.0

"""Who is told of events, and blocks or fails."""

import threading
import time

from nova_libvirt_driver.spec import event
from nova_libvirt_driver.testing import leaks
from nova_libvirt_driver.testing import libvirtd
from tests.faults import base
from tests.functional import base as functional_base

BLOCKED_S = 60.0
QUIET_S = 10.0
"""Longer than the daemon below waits for its clients."""


class ListenersTest(base.ConnectionFaultTestCase):

    def test_a_raising_listener_gets_the_next_event(self) -> None:
        driver = self.make_driver(self.host.uri)

        def listener(item: event.LifecycleEvent) -> None:
            self.listener(item)
            raise ValueError('a fault of the listener')

        driver.register_event_listener(listener)
        driver.init_host('here')
        self.start_guest('raising')
        self.host.virsh('destroy', 'raising')

        base.wait_until(lambda: self.listener.transitions('raising')
                        == ['started', 'stopped'], 'both events',
                        timeout_s=base.EVENT_S)
        self.assertEqual(1, driver.connection_status().generation)
        self.assertIn('The listener failed', self.log.output)


class ImpatientDaemonTest(functional_base.DriverTestCase):
    """A daemon that drops a client which does not answer for 3 s."""

    def setUp(self) -> None:
        host = libvirtd.PrivateHost('impatient', libvirtd={
            'keepalive_interval': 1, 'keepalive_count': 2})
        self.addCleanup(host.stop)
        host.start()
        self.useFixture(leaks.LeakCheck(host.uri))
        super().setUp()
        self.host = host

    def test_a_blocking_listener_holds_up_its_own_guest_only(self) -> None:
        driver = self.make_driver(self.host.uri)
        aborted = threading.Event()
        self.addCleanup(aborted.set)

        def listener(item: event.LifecycleEvent) -> None:
            if item.name == 'slow':
                aborted.wait(BLOCKED_S)
            self.listener(item)

        driver.register_event_listener(listener)
        driver.init_host('here')
        functional_base.start_guest(self.host, 'slow')
        # On libvirt's own thread, this would cost the connection.
        time.sleep(QUIET_S)
        functional_base.start_guest(self.host, 'quick')

        base.wait_until(lambda: self.listener.transitions('quick'),
                        'the other guest\'s event', timeout_s=base.EVENT_S)
        self.assertEqual([], self.listener.transitions('slow'))
        self.assertEqual(1, driver.connection_status().generation)
        with base.within(base.MARGIN_S):
            self.assertEqual(2, len(driver.list_instances()))
        base.wait_until(lambda: self.listener.transitions('slow'),
                        'the held up event',
                        timeout_s=BLOCKED_S + base.EVENT_S)
        self.assertEqual(1, driver.connection_status().generation)
