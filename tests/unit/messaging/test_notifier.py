# SPDX-License-Identifier: Apache-2.0

"""Notifications, through oslo.messaging's own drivers."""

import functools
import json
import threading

import fixtures
from oslo_messaging.notify import _impl_test
from oslo_messaging.notify import messaging

from nova_libvirt_driver import exception
from nova_libvirt_driver.messaging import notifier
from nova_libvirt_driver.spec import event as event_spec
from tests import base

GROUP = 'oslo_messaging_notifications'
EVENT = event_spec.LifecycleEvent(
    uuid='5d1f7f5c-6b1e-4d8a-9c41-2f6f5e0a7b11', name='web1', generation=1,
    timestamp=1767355200.25, transition=event_spec.Transition.STARTED,
    detail='booted')


class NotifierTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.notifier = notifier.OsloNotifier('node1', self.config.conf)
        self.addCleanup(self.notifier.close)
        self.addCleanup(_impl_test.reset)
        self.log = self.useFixture(fixtures.FakeLogger())

    def choose(self, *drivers: str) -> None:
        self.notifier.check()
        self.config.config(group=GROUP, driver=list(drivers))
        self.notifier = notifier.OsloNotifier('node1', self.config.conf)
        self.addCleanup(self.notifier.close)

    def test_sends_publisher_type_priority_and_payload(self) -> None:
        self.choose('test')

        self.notifier.error('compute.libvirt.error', {'ip': '192.0.2.1'})

        (_, message, priority, _), = _impl_test.NOTIFICATIONS
        self.assertEqual('ERROR', priority)
        self.assertEqual(
            ('compute.node1', 'compute.libvirt.error', {'ip': '192.0.2.1'}),
            (message['publisher_id'], message['event_type'],
             message['payload']))

    def test_sends_a_lifecycle_event_as_plain_json(self) -> None:
        self.choose('test')

        self.notifier.lifecycle(EVENT)

        (_, message, priority, _), = _impl_test.NOTIFICATIONS
        self.assertEqual('INFO', priority)
        self.assertEqual('compute.instance.started', message['event_type'])
        self.assertEqual(
            {'uuid': EVENT.uuid, 'name': 'web1', 'transition': 'started',
             'detail': 'booted', 'synthesized': False,
             'timestamp': '2026-01-02T12:00:00.250+00:00'},
            json.loads(json.dumps(message['payload'])))

    def test_goes_to_the_log_without_configuration(self) -> None:
        self.notifier.info('compute.instance.started', {'name': 'web1'})

        self.assertIn('compute.instance.started', self.log.output)

    def test_a_bus_without_transport_url_is_not_used(self) -> None:
        self.choose('messagingv2')

        self.notifier.info('compute.instance.started', {'name': 'web1'})

        self.assertIn('transport_url is not set', self.log.output)
        self.assertIn('web1', self.log.output)

    def test_keeps_the_order(self) -> None:
        self.choose('test')

        for number in range(20):
            self.notifier.info('count', {'number': number})

        self.assertEqual(
            list(range(20)),
            [message['payload']['number']
             for _, message, _, _ in _impl_test.NOTIFICATIONS])

    def test_a_url_without_sense_is_a_configuration_error(self) -> None:
        self.notifier.check()
        for url in ('foo://a:geheim@b/', 'nonsense', 'rabbit://[::::/'):
            self.config.config(transport_url=url)

            error = self.assertRaises(
                exception.InvalidConfiguration,
                notifier.OsloNotifier('node1', self.config.conf).check)

            self.assertIn('transport_url', str(error))
            self.assertNotIn('geheim', str(error))

    def test_a_driver_that_raises_is_only_logged(self) -> None:
        self.config.config(transport_url='fake:///')
        self.choose('messagingv2')
        self.useFixture(fixtures.MockPatchObject(
            messaging.MessagingV2Driver, 'notify',
            side_effect=RuntimeError('bus on fire')))

        self.notifier.error('compute.libvirt.error', {})

        self.assertIn('bus on fire', self.log.output)


class OutboxTestCase(base.TestCase):

    def test_nobody_waits_for_a_receiver_that_hangs(self) -> None:
        gate = threading.Event()
        sent: list[int] = []
        box = notifier.Outbox('box', patience_s=0.05)
        self.addCleanup(box.close, 5)
        self.addCleanup(gate.set)

        box.put(lambda: None if gate.wait(30) else None)
        for number in range(notifier.MOST_WAITING + 5):
            box.put(functools.partial(sent.append, number))

        self.assertEqual([], sent)
        self.assertEqual(5, box.dropped)
        gate.set()
        box.close(10)
        self.assertEqual(list(range(notifier.MOST_WAITING)), sent)

    def test_an_error_ends_neither_thread_nor_order(self) -> None:
        sent: list[str] = []
        box = notifier.Outbox('box')
        self.addCleanup(box.close, 5)

        box.put(functools.partial(int, 'no number'))
        box.put(lambda: sent.append('after'))

        self.assertEqual(['after'], sent)

    def test_can_be_used_again_after_it_was_closed(self) -> None:
        sent: list[int] = []
        box = notifier.Outbox('box')
        self.addCleanup(box.close, 5)
        box.put(lambda: sent.append(1))
        box.close(5)

        box.put(lambda: sent.append(2))

        self.assertEqual([1, 2], sent)
