# SPDX-License-Identifier: Apache-2.0

import itertools
import time

import libvirt

from nova_libvirt_driver.events import decode
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import instance
from nova_libvirt_driver.testing import fake_libvirt
from tests import base

Transition = event.Transition
PowerState = instance.PowerState

# Event, detail, our transition, libvirt's word for the detail.
LIFECYCLE = (
    ('STARTED', 'BOOTED', Transition.STARTED, 'booted'),
    ('STARTED', 'MIGRATED', Transition.STARTED, 'migrated'),
    ('STARTED', 'RESTORED', Transition.STARTED, 'restored'),
    ('STARTED', 'FROM_SNAPSHOT', Transition.STARTED, 'from-snapshot'),
    ('STARTED', 'WAKEUP', Transition.RESUMED, 'wakeup'),
    ('STOPPED', 'SHUTDOWN', Transition.STOPPED, 'shutdown'),
    ('STOPPED', 'DESTROYED', Transition.STOPPED, 'destroyed'),
    ('STOPPED', 'CRASHED', Transition.CRASHED, 'crashed'),
    ('STOPPED', 'MIGRATED', Transition.MIGRATION_COMPLETED, 'migrated'),
    ('STOPPED', 'SAVED', Transition.SUSPENDED, 'saved'),
    ('STOPPED', 'FAILED', Transition.CRASHED, 'failed'),
    ('STOPPED', 'FROM_SNAPSHOT', Transition.STOPPED, 'from-snapshot'),
    ('SUSPENDED', 'PAUSED', Transition.PAUSED, 'paused'),
    ('SUSPENDED', 'MIGRATED', Transition.PAUSED, 'migrated'),
    ('SUSPENDED', 'IOERROR', Transition.PAUSED, 'ioerror'),
    ('SUSPENDED', 'WATCHDOG', Transition.PAUSED, 'watchdog'),
    ('SUSPENDED', 'RESTORED', Transition.PAUSED, 'restored'),
    ('SUSPENDED', 'FROM_SNAPSHOT', Transition.PAUSED, 'from-snapshot'),
    ('SUSPENDED', 'API_ERROR', Transition.PAUSED, 'api-error'),
    ('SUSPENDED', 'POSTCOPY', Transition.POSTCOPY_STARTED, 'postcopy'),
    ('SUSPENDED', 'POSTCOPY_FAILED', Transition.PAUSED, 'postcopy-failed'),
    ('RESUMED', 'UNPAUSED', Transition.RESUMED, 'unpaused'),
    ('RESUMED', 'MIGRATED', Transition.RESUMED, 'migrated'),
    ('RESUMED', 'FROM_SNAPSHOT', Transition.RESUMED, 'from-snapshot'),
    ('RESUMED', 'POSTCOPY', Transition.RESUMED, 'postcopy'),
    ('RESUMED', 'POSTCOPY_FAILED', Transition.RESUMED, 'postcopy-failed'),
    ('PMSUSPENDED', 'MEMORY', Transition.SUSPENDED, 'memory'),
    ('PMSUSPENDED', 'DISK', Transition.SUSPENDED, 'disk'),
    ('CRASHED', 'PANICKED', Transition.CRASHED, 'panicked'),
    ('CRASHED', 'CRASHLOADED', Transition.CRASHED, 'crashloaded'),
    *(row for row in (
        # Since libvirt 12.
        ('STARTED', 'RECREATED', Transition.STARTED, 'recreated'),
        ('STOPPED', 'RECREATED', Transition.STOPPED, 'recreated'),
        ('SUSPENDED', 'GUEST_SHUTDOWN', Transition.PAUSED, 'guest-shutdown'),
    ) if hasattr(libvirt, f'VIR_DOMAIN_EVENT_{row[0]}_{row[1]}')),
)

POWER_STATES = (
    (libvirt.VIR_DOMAIN_NOSTATE, PowerState.NOSTATE),
    (libvirt.VIR_DOMAIN_RUNNING, PowerState.RUNNING),
    (libvirt.VIR_DOMAIN_BLOCKED, PowerState.RUNNING),
    (libvirt.VIR_DOMAIN_PAUSED, PowerState.PAUSED),
    (libvirt.VIR_DOMAIN_SHUTDOWN, PowerState.SHUTDOWN),
    (libvirt.VIR_DOMAIN_SHUTOFF, PowerState.SHUTDOWN),
    (libvirt.VIR_DOMAIN_CRASHED, PowerState.CRASHED),
    (libvirt.VIR_DOMAIN_PMSUSPENDED, PowerState.SUSPENDED),
)

ENDS = (
    (libvirt.VIR_DOMAIN_SHUTOFF, 'UNKNOWN', Transition.STOPPED),
    (libvirt.VIR_DOMAIN_SHUTOFF, 'SHUTDOWN', Transition.STOPPED),
    (libvirt.VIR_DOMAIN_SHUTOFF, 'DESTROYED', Transition.STOPPED),
    (libvirt.VIR_DOMAIN_SHUTOFF, 'CRASHED', Transition.CRASHED),
    (libvirt.VIR_DOMAIN_SHUTOFF, 'MIGRATED',
     Transition.MIGRATION_COMPLETED),
    (libvirt.VIR_DOMAIN_SHUTOFF, 'SAVED', Transition.SUSPENDED),
    (libvirt.VIR_DOMAIN_SHUTOFF, 'FAILED', Transition.CRASHED),
    (libvirt.VIR_DOMAIN_SHUTOFF, 'FROM_SNAPSHOT', Transition.STOPPED),
    (libvirt.VIR_DOMAIN_SHUTOFF, 'DAEMON', Transition.STOPPED),
)

BLOCK_JOBS = (
    ('PULL', 'pull'), ('COPY', 'copy'), ('COMMIT', 'commit'),
    ('ACTIVE_COMMIT', 'active-commit'), ('BACKUP', 'backup'),
)

BLOCK_JOB_STATUSES = (
    ('COMPLETED', 'completed'), ('FAILED', 'failed'),
    ('CANCELED', 'canceled'), ('READY', 'ready'),
)


class DecodeTestCase(base.TestCase):
    """Has a domain."""

    def setUp(self) -> None:
        super().setUp()
        hypervisor = fake_libvirt.FakeHypervisor()
        self.guest = hypervisor.add_guest('web1')
        link = fake_libvirt.FakeConnection(hypervisor, 'fake:///')
        self.domain = fake_libvirt.FakeDomain(link, self.guest)
        self.hypervisor = hypervisor

    def decode(
            self, name: str, detail: int = 0
    ) -> event.LifecycleEvent | decode.Gone | decode.Defined | None:
        number = getattr(libvirt, f'VIR_DOMAIN_EVENT_{name}')
        return decode.lifecycle(self.domain, number, detail, 7)


class LifecycleTest(DecodeTestCase):

    def test_each_event_means_one_transition(self) -> None:
        for name, detail, transition, words in LIFECYCLE:
            number = getattr(libvirt, f'VIR_DOMAIN_EVENT_{name}_{detail}')
            found = self.decode(name, number)

            assert isinstance(found, event.LifecycleEvent)
            self.assertEqual((transition, words),
                             (found.transition, found.detail),
                             f'{name} {detail}')

    def test_table_knows_every_detail_of_this_libvirt(self) -> None:
        tabled = {f'VIR_DOMAIN_EVENT_{name}_{detail}'
                  for name, detail, _, _ in LIFECYCLE}
        prefixes = tuple(
            f'VIR_DOMAIN_EVENT_{name}_'
            for name in {name for name, _, _, _ in LIFECYCLE})
        known = {name for name in dir(libvirt) if name.startswith(prefixes)
                 and not name.endswith('_LAST')}

        self.assertEqual(set(), known - tabled)

    def test_event_says_whose_it_is_and_when(self) -> None:
        before = time.time()

        found = self.decode('STOPPED')

        assert isinstance(found, event.LifecycleEvent)
        self.assertEqual(
            (self.guest.uuid, 'web1', 7, self.guest.id, False),
            (found.uuid, found.name, found.generation, found.domain_id,
             found.synthesized))
        self.assertTrue(before <= found.timestamp <= time.time())

    def test_coming_and_going_definitions_are_no_transitions(self) -> None:
        self.assertEqual(decode.Gone(self.guest.uuid, 7),
                         self.decode('UNDEFINED'))
        self.assertEqual(decode.Defined(self.guest.uuid, 'web1', 7),
                         self.decode('DEFINED'))

    def test_guest_about_to_shut_down_is_still_up(self) -> None:
        self.assertIsNone(self.decode('SHUTDOWN'))

    def test_unknown_detail_is_kept_as_a_number(self) -> None:
        for name in {name for name, _, _, _ in LIFECYCLE}:
            found = self.decode(name, 4711)

            assert isinstance(found, event.LifecycleEvent)
            self.assertEqual('4711', found.detail, name)

    def test_no_number_raises(self) -> None:
        numbers = (-1, *range(12), 4711, 2 ** 31)
        for number, detail in itertools.product(numbers, repeat=2):
            decode.lifecycle(self.domain, number, detail, 1)

        self.assertIsNone(decode.lifecycle(self.domain, 4711, 0, 1))

    def test_nothing_is_asked_of_libvirt(self) -> None:
        self.decode('STARTED')
        decode.report(self.domain, libvirt.VIR_DOMAIN_RUNNING, 1)

        self.assertEqual({}, self.hypervisor.calls)


class StateTest(DecodeTestCase):

    def test_each_state_is_one_power_state(self) -> None:
        for number, wanted in POWER_STATES:
            self.assertEqual(wanted, decode.power_state(number))

    def test_unknown_state_is_no_state(self) -> None:
        for number in (-1, 8, 4711):
            self.assertEqual(PowerState.NOSTATE, decode.power_state(number))

    def test_reason_tells_how_a_guest_came_to_its_end(self) -> None:
        for number, reason, wanted in ENDS:
            found = decode.report(self.domain, number, getattr(
                libvirt, f'VIR_DOMAIN_SHUTOFF_{reason}'))

            self.assertEqual(wanted, found.stop_transition, reason)

    def test_reason_of_a_running_guest_is_no_end(self) -> None:
        found = decode.report(self.domain, libvirt.VIR_DOMAIN_RUNNING,
                              libvirt.VIR_DOMAIN_SHUTOFF_SAVED)

        self.assertEqual(0, found.shutoff_reason)

    def test_crashed_guest_crashed_whatever_the_reason(self) -> None:
        found = decode.report(self.domain, libvirt.VIR_DOMAIN_CRASHED, 4711)

        self.assertEqual(Transition.CRASHED, found.stop_transition)

    def test_unknown_reason_is_a_plain_stop(self) -> None:
        found = decode.report(self.domain, libvirt.VIR_DOMAIN_SHUTOFF, 4711)

        self.assertEqual(Transition.STOPPED, found.stop_transition)
        self.assertEqual((self.guest.uuid, 'web1', self.guest.id),
                         (found.uuid, found.name, found.domain_id))


class BlockJobTest(base.TestCase):

    def test_types_and_statuses_have_words(self) -> None:
        for (kind, kind_word), (status, status_word) in itertools.product(
                BLOCK_JOBS, BLOCK_JOB_STATUSES):
            numbers = (
                getattr(libvirt, f'VIR_DOMAIN_BLOCK_JOB_TYPE_{kind}'),
                getattr(libvirt, f'VIR_DOMAIN_BLOCK_JOB_{status}'))

            self.assertEqual((kind_word, status_word),
                             decode.block_job(*numbers))

    def test_unknown_numbers_are_kept(self) -> None:
        self.assertEqual(('4711', '-1'), decode.block_job(4711, -1))


class IOErrorTest(base.TestCase):

    def test_actions_have_words(self) -> None:
        for name in ('NONE', 'PAUSE', 'REPORT'):
            number = getattr(libvirt, f'VIR_DOMAIN_EVENT_IO_ERROR_{name}')

            self.assertEqual(name.lower(), decode.io_error_action(number))

    def test_unknown_action_is_kept(self) -> None:
        self.assertEqual('4711', decode.io_error_action(4711))


class StateReasonTest(base.TestCase):

    def test_reasons_have_words(self) -> None:
        for state, reason, word in (
                (libvirt.VIR_DOMAIN_RUNNING,
                 libvirt.VIR_DOMAIN_RUNNING_UNPAUSED, 'unpaused'),
                (libvirt.VIR_DOMAIN_PAUSED,
                 libvirt.VIR_DOMAIN_PAUSED_IOERROR, 'ioerror'),
                (libvirt.VIR_DOMAIN_SHUTOFF,
                 libvirt.VIR_DOMAIN_SHUTOFF_SAVED, 'saved'),
                (libvirt.VIR_DOMAIN_CRASHED,
                 libvirt.VIR_DOMAIN_CRASHED_PANICKED, 'panicked')):
            self.assertEqual(word, decode.state_reason(state, reason))

    def test_unknown_numbers_are_kept(self) -> None:
        self.assertEqual('4711', decode.state_reason(1, 4711))
        self.assertEqual('1', decode.state_reason(4711, 1))
