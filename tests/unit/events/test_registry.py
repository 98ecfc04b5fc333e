# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterable
import dataclasses

import hypothesis
from hypothesis import strategies
import libvirt

from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import router
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import instance
from tests import base

State = instance.PowerState
Transition = event.Transition

UUID = 'f0b1d5a4-0000-4000-8000-000000000001'

GOES_UP = (Transition.STARTED,)
GOES_DOWN = (Transition.STOPPED, Transition.CRASHED,
             Transition.MIGRATION_COMPLETED)
UP = (State.RUNNING, State.PAUSED, State.SUSPENDED)


def happened(
        transition: Transition, *, uuid: str = UUID, detail: str = '',
        generation: int = 1, domain_id: int = -1) -> event.LifecycleEvent:
    """Return an event that libvirt sent."""
    return event.LifecycleEvent(
        uuid=uuid, name='web1', generation=generation, timestamp=0.0,
        transition=transition, detail=detail, domain_id=domain_id)


def report(
        state: State, *, uuid: str = UUID, reason: int = 0,
        name: str = 'web1', domain_id: int = -1) -> decode.Report:
    """Return what a listing says of a guest."""
    return decode.Report(uuid, name, state, reason, domain_id)


def transitions(items: Iterable[event.LifecycleEvent]) -> list[str]:
    """Return the words of what a listener hears."""
    return [str(item.transition) for item in items]


class RegistryTestCase(base.TestCase):
    """Has a registry that has seen no listing yet."""

    def setUp(self) -> None:
        super().setUp()
        self.registry = router.Registry()

    def apply(self, *changes: router.Change) -> list[str]:
        heard = [self.registry.apply(change) for change in changes]
        return transitions(item for item in heard if item is not None)

    def state(self, uuid: str = UUID) -> State | None:
        known = self.registry.get(uuid)
        return known.state if known else None


class EventTest(RegistryTestCase):

    def test_each_event_is_passed_on_and_leaves_its_state(self) -> None:
        for transition, detail, wanted in (
                (Transition.STARTED, 'booted', State.RUNNING),
                (Transition.PAUSED, 'paused', State.PAUSED),
                (Transition.RESUMED, 'unpaused', State.RUNNING),
                (Transition.SUSPENDED, 'memory', State.SUSPENDED),
                (Transition.RESUMED, 'wakeup', State.RUNNING),
                (Transition.POSTCOPY_STARTED, 'postcopy', State.PAUSED),
                (Transition.MIGRATION_COMPLETED, '', State.SHUTDOWN),
                (Transition.STARTED, 'restored', State.RUNNING),
                (Transition.SUSPENDED, 'saved', State.SHUTDOWN),
                (Transition.STARTED, 'booted', State.RUNNING),
                (Transition.CRASHED, 'panicked', State.SHUTDOWN),
                (Transition.STARTED, 'booted', State.RUNNING),
                (Transition.STOPPED, 'destroyed', State.SHUTDOWN)):
            heard = self.apply(happened(transition, detail=detail))

            self.assertEqual([str(transition)], heard)
            self.assertEqual(wanted, self.state(), f'{transition} {detail}')

    def test_every_transition_leaves_a_state(self) -> None:
        for transition in Transition:
            self.apply(happened(transition))

            self.assertIsNotNone(self.state(), str(transition))

    def test_resumed_before_started_is_swallowed_once_filled(self) -> None:
        start = (happened(Transition.RESUMED), happened(Transition.STARTED))
        self.registry.compare([], 1)

        self.assertEqual(['started'], self.apply(*start))
        self.apply(happened(Transition.STOPPED))
        self.assertEqual(['started'], self.apply(*start))

    def test_resumed_of_an_unknown_guest_counts_while_empty(self) -> None:
        # It ran already when this process came; it is no start.
        self.assertEqual(['resumed'],
                         self.apply(happened(Transition.RESUMED)))

    def test_panic_of_a_guest_is_told_once(self) -> None:
        # QEMU tells of the panic first, and of its own end then.
        heard = self.apply(
            happened(Transition.STARTED),
            happened(Transition.CRASHED, detail='panicked'),
            happened(Transition.CRASHED, detail='crashed'))

        self.assertEqual(['started', 'crashed'], heard)

    def test_definition_makes_a_guest_known_as_shut_down(self) -> None:
        self.assertEqual([], self.apply(decode.Defined(UUID, 'web1', 1)))

        self.assertEqual(State.SHUTDOWN, self.state())
        self.assertEqual(1, len(self.registry.guests()))

    def test_new_definition_of_a_running_guest_keeps_its_state(self) -> None:
        self.apply(happened(Transition.STARTED),
                   decode.Defined(UUID, 'renamed', 1))

        known = self.registry.get(UUID)
        assert known is not None
        self.assertEqual(('renamed', State.RUNNING),
                         (known.name, known.state))

    def test_guest_is_forgotten_with_its_definition(self) -> None:
        self.apply(decode.Defined(UUID, 'web1', 1), decode.Gone(UUID, 1))

        self.assertIsNone(self.registry.get(UUID))
        self.assertEqual(0, len(self.registry.guests()))

    def test_running_guest_outlives_its_definition(self) -> None:
        self.apply(happened(Transition.STARTED), decode.Gone(UUID, 1))

        self.assertEqual(State.RUNNING, self.state())

    def test_other_events_say_nothing_of_the_state(self) -> None:
        reboot = event.RebootEvent(
            uuid=UUID, name='web1', generation=1, timestamp=0.0)

        self.assertEqual([], self.apply(reboot))
        self.assertIsNone(self.registry.get(UUID))


# State before, state and reason in the listing, what was missed.
MISSED: tuple[tuple[State, State, int, list[str]], ...] = (
    (State.SHUTDOWN, State.RUNNING, 0, ['started']),
    (State.SHUTDOWN, State.PAUSED, 0, ['started', 'paused']),
    (State.SHUTDOWN, State.SUSPENDED, 0, ['started', 'suspended']),
    (State.SHUTDOWN, State.CRASHED, 0, []),
    (State.RUNNING, State.PAUSED, 0, ['paused']),
    (State.RUNNING, State.SUSPENDED, 0, ['suspended']),
    (State.PAUSED, State.RUNNING, 0, ['resumed']),
    (State.SUSPENDED, State.RUNNING, 0, ['resumed']),
    (State.SUSPENDED, State.PAUSED, 0, ['paused']),
    (State.RUNNING, State.SHUTDOWN, 0, ['stopped']),
    (State.PAUSED, State.SHUTDOWN, 0, ['stopped']),
    (State.RUNNING, State.SHUTDOWN, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED,
     ['crashed']),
    (State.RUNNING, State.SHUTDOWN, libvirt.VIR_DOMAIN_SHUTOFF_FAILED,
     ['crashed']),
    (State.RUNNING, State.SHUTDOWN, libvirt.VIR_DOMAIN_SHUTOFF_SAVED,
     ['suspended']),
    (State.RUNNING, State.SHUTDOWN, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED,
     ['migration-completed']),
    (State.RUNNING, State.CRASHED, 0, ['crashed']),
    (State.CRASHED, State.SHUTDOWN, 0, []),
    (State.CRASHED, State.RUNNING, 0, ['started']),
)


class CompareTest(RegistryTestCase):

    def compare(self, *reports: decode.Report, generation: int = 2
                ) -> list[event.LifecycleEvent]:
        return self.registry.compare(reports, generation)

    def test_first_listing_is_silent(self) -> None:
        self.apply(happened(Transition.STARTED))

        missed = self.compare(
            report(State.PAUSED), report(State.RUNNING, uuid='other'))

        self.assertEqual([], missed)
        self.assertEqual((State.PAUSED, State.RUNNING),
                         (self.state(), self.state('other')))

    def test_same_listing_twice_is_silent(self) -> None:
        for state in State:
            self.compare(report(state))

            self.assertEqual([], self.compare(report(state)), str(state))

    def test_each_change_is_told_as_what_it_was(self) -> None:
        for before, after, reason, wanted in MISSED:
            self.registry = router.Registry()
            self.compare(report(before))

            missed = self.compare(report(after, reason=reason))

            self.assertEqual(wanted, transitions(missed),
                             f'{before} to {after}, {reason}')
            self.assertEqual(after, self.state())

    def test_new_guest_counts_as_one_that_was_down(self) -> None:
        self.compare()

        missed = self.compare(report(State.RUNNING),
                              report(State.SHUTDOWN, uuid='other'))

        self.assertEqual(['started'], transitions(missed))

    def test_vanished_guest_stopped_if_it_was_up(self) -> None:
        self.compare(report(State.RUNNING),
                     report(State.SHUTDOWN, uuid='other'))

        missed = self.compare()

        self.assertEqual([(UUID, 'web1', 'stopped')],
                         [(item.uuid, item.name, str(item.transition))
                          for item in missed])
        self.assertEqual([], self.compare())
        self.assertEqual(0, len(self.registry.guests()))

    def test_restart_is_told_by_the_id_of_the_domain(self) -> None:
        for before, after, wanted in (
                (State.RUNNING, State.RUNNING, ['stopped', 'started']),
                (State.PAUSED, State.RUNNING, ['stopped', 'started']),
                (State.RUNNING, State.PAUSED,
                 ['stopped', 'started', 'paused'])):
            self.registry = router.Registry()
            self.compare(report(before, domain_id=1))

            missed = self.compare(report(after, domain_id=2))

            self.assertEqual(wanted, transitions(missed))

    def test_restart_after_events_is_told_as_well(self) -> None:
        self.compare()
        self.apply(happened(Transition.STARTED, domain_id=7))

        self.assertEqual(['stopped', 'started'], transitions(
            self.compare(report(State.RUNNING, domain_id=8))))

    def test_unknown_id_says_nothing_of_a_restart(self) -> None:
        for before, after in ((-1, 3), (3, -1), (3, 3)):
            self.registry = router.Registry()
            self.compare(report(State.RUNNING, domain_id=before))

            self.assertEqual([], self.compare(
                report(State.RUNNING, domain_id=after)))

    def test_missed_ones_say_so(self) -> None:
        self.compare(report(State.RUNNING))

        missed, = self.compare(report(State.PAUSED, name='renamed'),
                               generation=9)

        self.assertTrue(missed.synthesized)
        self.assertEqual((9, 'renamed'), (missed.generation, missed.name))
        self.assertGreater(missed.timestamp, 0)

    def test_missed_save_is_no_sleep_of_the_guest(self) -> None:
        # Both are told as "suspended", but after one the guest is down.
        self.compare(report(State.RUNNING))
        saved, = self.compare(report(
            State.SHUTDOWN, reason=libvirt.VIR_DOMAIN_SHUTOFF_SAVED))

        self.compare(report(State.RUNNING))
        asleep, = self.compare(report(State.SUSPENDED))

        self.assertEqual('suspended', str(saved.transition))
        self.assertNotEqual(asleep.detail, saved.detail)

    def test_state_that_nobody_knows_is_no_change(self) -> None:
        self.compare(report(State.RUNNING))

        self.assertEqual([], self.compare(report(State.NOSTATE)))

    def test_guest_whose_state_nobody_knew_meanwhile_is_not_new(
            self) -> None:
        for after, wanted in ((State.RUNNING, []),
                              (State.SHUTDOWN, ['stopped'])):
            self.compare(report(State.RUNNING))
            self.compare(report(State.NOSTATE))

            self.assertEqual(
                wanted, transitions(self.compare(report(after))))


class SlowEventTest(RegistryTestCase):
    """A real event that comes after the comparison has inferred it."""

    def reconnect(self, before: State, after: State) -> list[str]:
        self.registry.compare([report(before)], 1)
        return transitions(self.registry.compare([report(after)], 2))

    def arrive(self, *items: Transition) -> list[str]:
        return self.apply(*(happened(item, generation=2) for item in items))

    def test_real_event_is_dropped_exactly_once(self) -> None:
        for before, after, transition, back in (
                (State.SHUTDOWN, State.RUNNING, Transition.STARTED,
                 Transition.STOPPED),
                (State.RUNNING, State.SHUTDOWN, Transition.STOPPED,
                 Transition.STARTED),
                (State.RUNNING, State.SHUTDOWN, Transition.CRASHED,
                 Transition.STARTED),
                (State.RUNNING, State.PAUSED, Transition.PAUSED,
                 Transition.RESUMED),
                (State.PAUSED, State.RUNNING, Transition.RESUMED,
                 Transition.PAUSED)):
            self.registry = router.Registry()
            self.assertEqual(1, len(self.reconnect(before, after)))

            self.assertEqual([], self.arrive(transition), str(transition))
            self.assertEqual([str(back), str(transition)],
                             self.arrive(back, transition))

    def test_stop_in_another_session_is_not_the_inferred_one(self) -> None:
        self.reconnect(State.SHUTDOWN, State.RUNNING)

        self.assertEqual(['stopped', 'started'], self.apply(
            happened(Transition.STOPPED, generation=3),
            happened(Transition.STARTED, generation=3)))

    def test_different_event_is_not_the_inferred_one(self) -> None:
        self.reconnect(State.SHUTDOWN, State.RUNNING)

        self.assertEqual(['stopped'], self.arrive(Transition.STOPPED))

    def test_start_as_qemu_tells_it_is_dropped(self) -> None:
        # A guest that starts is resumed first and started then.
        self.reconnect(State.SHUTDOWN, State.RUNNING)

        self.assertEqual([], self.arrive(Transition.RESUMED,
                                         Transition.STARTED))

    def test_start_after_a_definition_is_dropped(self) -> None:
        self.reconnect(State.SHUTDOWN, State.RUNNING)

        self.assertEqual([], self.apply(
            decode.Defined(UUID, 'web1', 2),
            happened(Transition.STARTED, generation=2)))

    def test_start_in_two_steps_is_dropped(self) -> None:
        self.assertEqual(['started', 'paused'],
                         self.reconnect(State.SHUTDOWN, State.PAUSED))

        self.assertEqual([], self.arrive(Transition.STARTED,
                                         Transition.PAUSED))


@dataclasses.dataclass
class Truth:
    """A guest as it really is, and how libvirt tells of its changes."""

    uuid: str
    state: State | None = State.SHUTDOWN
    reason: int = 0
    starts: int = 0

    @property
    def domain_id(self) -> int:
        """Libvirt's id, another one for each start."""
        return self.starts if self.state in UP else -1

    def step(self, action: str, generation: int) -> list[router.Change]:
        """Do what is possible now; return what libvirt would send."""
        method = getattr(self, action)
        sent: list[router.Change] = method(generation)
        return sent

    def start(self, generation: int) -> list[router.Change]:
        if self.state in UP:
            return []
        self.state = State.RUNNING
        self.starts += 1
        return self._send(generation, Transition.RESUMED,
                          Transition.STARTED)

    def start_paused(self, generation: int) -> list[router.Change]:
        if self.state in UP:
            return []
        self.state = State.PAUSED
        self.starts += 1
        return self._send(generation, Transition.STARTED,
                          Transition.PAUSED)

    def pause(self, generation: int) -> list[router.Change]:
        return self._change((State.RUNNING,), State.PAUSED,
                            Transition.PAUSED, generation)

    def resume(self, generation: int) -> list[router.Change]:
        return self._change((State.PAUSED,), State.RUNNING,
                            Transition.RESUMED, generation)

    def sleep(self, generation: int) -> list[router.Change]:
        return self._change((State.RUNNING,), State.SUSPENDED,
                            Transition.SUSPENDED, generation)

    def wake(self, generation: int) -> list[router.Change]:
        return self._change((State.SUSPENDED,), State.RUNNING,
                            Transition.RESUMED, generation)

    def stop(self, generation: int) -> list[router.Change]:
        return self._end(0, Transition.STOPPED, generation)

    def crash(self, generation: int) -> list[router.Change]:
        return self._end(libvirt.VIR_DOMAIN_SHUTOFF_CRASHED,
                         Transition.CRASHED, generation)

    def vanish(self, generation: int) -> list[router.Change]:
        sent = self.stop(generation)
        if self.state is not None:
            self.state = None
            sent.append(decode.Gone(self.uuid, generation))
        return sent

    def define(self, generation: int) -> list[router.Change]:
        if self.state is None:
            self.state = State.SHUTDOWN
        return [decode.Defined(self.uuid, 'web1', generation)]

    def _change(
            self, before: tuple[State, ...], after: State,
            transition: Transition,
            generation: int) -> list[router.Change]:
        if self.state not in before:
            return []
        self.state = after
        return self._send(generation, transition)

    def _end(self, reason: int, transition: Transition,
             generation: int) -> list[router.Change]:
        if self.state not in UP:
            return []
        self.state, self.reason = State.SHUTDOWN, reason
        return self._send(generation, transition)

    def _send(
            self, generation: int,
            *items: Transition) -> list[router.Change]:
        return [happened(item, uuid=self.uuid, generation=generation,
                         domain_id=self.domain_id) for item in items]


ACTIONS = ('start', 'start_paused', 'pause', 'resume', 'sleep', 'wake',
           'stop', 'crash', 'vanish', 'define')

UUIDS = ('one', 'two')

LOSE, SUBSCRIBE, COMPARE = 'lose', 'subscribe', 'compare'

_CHANGES = [(action, uuid) for action in ACTIONS for uuid in UUIDS]

# A new session subscribes first and lists the guests then.
CALM = strategies.lists(strategies.sampled_from(
    [*_CHANGES, *[(LOSE, ''), (COMPARE, '')] * 2]), max_size=40)
RACING = strategies.lists(strategies.sampled_from(
    [*_CHANGES, *[(LOSE, ''), (SUBSCRIBE, ''), (COMPARE, '')] * 2]),
    max_size=40)

SETTINGS = hypothesis.settings(
    max_examples=400, deadline=None, database=None, derandomize=True)


class World:
    """Guests, a registry that hears of them, and what a listener hears."""

    def __init__(self) -> None:
        self.guests = {uuid: Truth(uuid) for uuid in UUIDS}
        self.registry = router.Registry()
        self.heard: list[event.LifecycleEvent] = []
        self.generation = 0
        self.link = LOSE
        self.held: list[router.Change] = []
        self.do(COMPARE)

    def live(self, steps: list[tuple[str, str]]) -> None:
        """Do all steps, then reconnect."""
        for action, uuid in steps:
            self.do(action, uuid)
        self.do(LOSE)
        self.do(COMPARE)

    def do(self, action: str, uuid: str = '') -> None:
        if action in (LOSE, SUBSCRIBE, COMPARE):
            self._connect(action)
        else:
            changes = self.guests[uuid].step(action, self.generation)
            if self.link == COMPARE:
                self._tell(changes)
            elif self.link == SUBSCRIBE:
                self.held.extend(changes)

    def _connect(self, action: str) -> None:
        if action == SUBSCRIBE or self.link == LOSE and action == COMPARE:
            self.generation += 1
            self.held = []
        if action == COMPARE and self.link != COMPARE:
            self.heard.extend(
                self.registry.compare(self._reports(), self.generation))
            self._tell(self.registry.unseen(self.held))
        self.link = action

    def _reports(self) -> list[decode.Report]:
        return [report(guest.state, uuid=guest.uuid, reason=guest.reason,
                       domain_id=guest.domain_id)
                for guest in self.guests.values()
                if guest.state is not None]

    def _tell(self, changes: list[router.Change]) -> None:
        for change in changes:
            heard = self.registry.apply(change)
            if heard is not None:
                self.heard.append(heard)

    def ups_and_downs(self, uuid: str) -> list[bool]:
        """Return what a listener hears of a guest being up."""
        return [item.transition in GOES_UP for item in self.heard
                if item.uuid == uuid
                and item.transition in GOES_UP + GOES_DOWN]


class ListenerViewTest(base.TestCase):
    """Whatever happens, and whatever of it is lost in an outage."""

    @hypothesis.given(steps=RACING)
    @SETTINGS
    def test_view_ends_equal_to_the_truth(
            self, steps: list[tuple[str, str]]) -> None:
        world = World()
        world.live(steps)

        for uuid, guest in world.guests.items():
            view = [False] + world.ups_and_downs(uuid)
            self.assertEqual(guest.state in UP, view[-1], uuid)

    @hypothesis.given(steps=RACING)
    @SETTINGS
    def test_registry_ends_with_the_true_state(
            self, steps: list[tuple[str, str]]) -> None:
        world = World()
        world.live(steps)

        for uuid, guest in world.guests.items():
            known = world.registry.get(uuid)
            self.assertEqual(guest.state, known.state if known else None)

    @hypothesis.given(steps=CALM)
    @SETTINGS
    def test_nobody_goes_up_or_down_twice_in_a_row(
            self, steps: list[tuple[str, str]]) -> None:
        world = World()
        world.live(steps)

        self._check_alternation(world)

    @hypothesis.given(steps=RACING)
    @SETTINGS
    def test_nor_when_events_overtake_the_listing(
            self, steps: list[tuple[str, str]]) -> None:
        world = World()
        world.live(steps)

        self._check_alternation(world)

    def _check_alternation(self, world: World) -> None:
        for uuid in world.guests:
            view = [False] + world.ups_and_downs(uuid)
            for before, after in zip(view, view[1:]):
                self.assertNotEqual(before, after, f'{uuid}: {view}')
