# SPDX-License-Identifier: Apache-2.0

import logging
import time
from typing import Any

import fixtures
import libvirt

from nova_libvirt_driver.calls import turn as turn_module
from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver.events import inbox
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.testing import fake_libvirt
from tests import base

NAMES = ('LIFECYCLE', 'DEVICE_REMOVED', 'DEVICE_REMOVAL_FAILED',
         'AGENT_LIFECYCLE', 'BLOCK_JOB_2', 'IO_ERROR_REASON', 'REBOOT',
         'JOB_COMPLETED', 'MIGRATION_ITERATION')


def number(name: str) -> int:
    """Return libvirt's number for a kind of event."""
    value: int = getattr(libvirt, f'VIR_DOMAIN_EVENT_ID_{name}')
    return value


_CONNECTED = libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED
_DISCONNECTED = (
    libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED)

# Kind of event, what the callback gets, type and own fields of our value.
EVENTS: tuple[
    tuple[str, tuple[object, ...], type, dict[str, object]], ...] = (
    ('DEVICE_REMOVED', ('virtio-disk1',), event.DeviceEvent,
     {'alias': 'virtio-disk1', 'removed': True}),
    ('DEVICE_REMOVAL_FAILED', ('net0',), event.DeviceEvent,
     {'alias': 'net0', 'removed': False}),
    ('AGENT_LIFECYCLE', (_CONNECTED, 0), event.AgentEvent,
     {'connected': True}),
    ('AGENT_LIFECYCLE', (_DISCONNECTED, 0), event.AgentEvent,
     {'connected': False}),
    ('AGENT_LIFECYCLE', (4711, 0), event.AgentEvent, {'connected': False}),
    ('BLOCK_JOB_2',
     ('vda', libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COPY,
      libvirt.VIR_DOMAIN_BLOCK_JOB_READY), event.BlockJobEvent,
     {'target_dev': 'vda', 'job_type': 'copy', 'status': 'ready'}),
    ('BLOCK_JOB_2', ('vda', 4711, 4712), event.BlockJobEvent,
     {'target_dev': 'vda', 'job_type': '4711', 'status': '4712'}),
    ('IO_ERROR_REASON',
     ('/srv/disk', 'virtio-disk0', libvirt.VIR_DOMAIN_EVENT_IO_ERROR_PAUSE,
      'enospc'), event.IOErrorEvent,
     {'path': '/srv/disk', 'alias': 'virtio-disk0', 'action': 'pause',
      'reason': 'enospc'}),
    ('REBOOT', (), event.RebootEvent, {}),
    ('JOB_COMPLETED', ({'success': True, 'operation': 4},),
     event.JobCompletedEvent,
     {'success': True, 'operation': 4, 'error': ''}),
    ('JOB_COMPLETED',
     ({'success': False, 'operation': 3, 'errmsg': 'no room'},),
     event.JobCompletedEvent,
     {'success': False, 'operation': 3, 'error': 'no room'}),
    ('JOB_COMPLETED', ({},), event.JobCompletedEvent,
     {'success': False, 'operation': 0, 'error': ''}),
    ('MIGRATION_ITERATION', (2,), event.MigrationIterationEvent,
     {'iteration': 2}),
)


class SubscriptionTestCase(base.TestCase):
    """Has a connection to a fake, and what subscribes to its events."""

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor = fake_libvirt.FakeHypervisor()
        self.guest = self.hypervisor.add_guest('web1')
        self.connection = self.hypervisor.open_auth(
            'fake:///', [[], lambda asked, opaque: -1, None])
        self.lifecycle: list[tuple[Any, ...]] = []
        self.inbox = inbox.make()
        self.subscriptions = inbox.Subscriptions(
            lambda: lambda *args: self.lifecycle.append(args), self.inbox)
        self.log = self.useFixture(fixtures.FakeLogger(
            level=logging.INFO, format='%(levelname)s %(message)s'))

    def register(self, generation: int = 7) -> list[int]:
        """Set up a session; return the ids of its callbacks."""
        session = session_module.Session(
            connection=self.connection, raw=self.connection,
            turn=turn_module.Turn(host='here', timeout_s=10),
            generation=generation)
        session.set_up(
            settings_module.Settings('here', settings_module.Credentials()),
            self.subscriptions)
        inbox.log_problems(session.problems, 'qemu:///system')
        # The listing of the guests comes before all events.
        self.assertEqual(generation, self.inbox.get().generation)
        return session.callback_ids


class RegisterTest(SubscriptionTestCase):

    def test_every_kind_that_the_library_has_is_subscribed(self) -> None:
        ids = self.register()

        self.assertEqual(len(NAMES), len(set(ids)))
        # The close callback is one more.
        self.assertEqual(len(NAMES) + 1, self.connection.callback_count)
        for name in NAMES:
            # Whoever is subscribed already cannot subscribe again.
            self.assertRaises(
                libvirt.libvirtError, self.connection.
                domainEventRegisterAny, None, number(name), print, None)
        self.assertEqual('', self.log.output)

    def test_every_kind_can_be_waited_for(self) -> None:
        names = {inbox.name_of(kind)
                 for kind in vars(event).values()
                 if isinstance(kind, type)
                 and issubclass(kind, event.GuestEvent)
                 and kind is not event.GuestEvent}

        self.assertLessEqual(
            names, {f'VIR_DOMAIN_EVENT_ID_{name}' for name in NAMES})

    def test_kind_that_an_old_library_lacks_is_left_out(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE'))

        ids = self.register()

        self.assertEqual(len(NAMES) - 1, len(ids))
        self.assertEqual('', self.log.output)

    def test_ids_are_those_to_deregister(self) -> None:
        for callback_id in self.register():
            self.connection.domainEventDeregisterAny(callback_id)
        self.connection.unregisterCloseCallback()

        self.assertEqual(0, self.connection.callback_count)

    def test_uri_without_events_gets_one_warning(self) -> None:
        self.hypervisor.events = False

        self.assertEqual([], self.register())

        line, = self.log.output.splitlines()
        for words in ('WARNING', 'qemu:///system', 'not supported'):
            self.assertIn(words, line)
        self.assertEqual(1, self.connection.callback_count)

    def test_other_failure_is_one_error(self) -> None:
        self.hypervisor.fail_next(
            'domainEventRegisterAny', fake_libvirt.libvirt_error(
                libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_FROM_RPC,
                'no memory'))

        self.assertEqual([], self.register())

        line, = self.log.output.splitlines()
        for words in ('ERROR', 'qemu:///system', 'no memory'):
            self.assertIn(words, line)

    def test_failure_of_another_kind_leaves_the_rest(self) -> None:
        class Connection(fake_libvirt.FakeConnection):
            def domainEventRegisterAny(
                    self, dom: Any, eventID: int, cb: Any,
                    opaque: object) -> int:
                if eventID == number('BLOCK_JOB_2'):
                    raise fake_libvirt.libvirt_error(
                        libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_FROM_NONE,
                        'no such event')
                return super().domainEventRegisterAny(
                    dom, eventID, cb, opaque)

        self.connection = Connection(self.hypervisor, 'fake:///')

        self.assertEqual(len(NAMES) - 1, len(self.register()))


class CallbackTest(SubscriptionTestCase):

    def test_each_event_becomes_a_value_in_the_inbox(self) -> None:
        self.register()
        for name, args, kind, fields in EVENTS:
            before = time.time()

            self.hypervisor.emit(number(name), self.guest, *args)

            self.assertEqual(1, self.inbox.qsize(), name)
            found = self.inbox.get()
            self.assertTrue(before <= found.timestamp <= time.time())
            self.assertEqual(
                kind(uuid=self.guest.uuid, name='web1', generation=7,
                     timestamp=found.timestamp, **fields), found)

    def test_lifecycle_goes_to_the_driver_with_its_generation(self) -> None:
        self.register(generation=9)

        self.hypervisor.emit(
            number('LIFECYCLE'), self.guest,
            libvirt.VIR_DOMAIN_EVENT_STOPPED,
            libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED)

        (connection, domain, *rest), = self.lifecycle
        self.assertIs(self.connection, connection)
        self.assertEqual(self.guest.uuid, domain.UUIDString())
        self.assertEqual(
            [libvirt.VIR_DOMAIN_EVENT_STOPPED,
             libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED, 9], rest)
        self.assertEqual(0, self.inbox.qsize())

    def test_callback_asks_nothing_of_libvirt(self) -> None:
        self.register()
        before = self.hypervisor.calls

        for name, args, _, _ in EVENTS:
            self.hypervisor.emit(number(name), self.guest, *args)

        self.assertEqual(before, self.hypervisor.calls)
        self.assertEqual(len(EVENTS), self.inbox.qsize())
