# SPDX-License-Identifier: Apache-2.0

"""The supervisor under faults in any order, with what must hold always.

Hypothesis makes up what happens; time, threads and libvirt are fakes that
do the same for the same example. ``NOVA_LIBVIRT_MACHINE_EXAMPLES=5000``
lets it search for longer than a test may take.
"""

from collections.abc import Callable
from concurrent import futures
import dataclasses
import logging
import os
from typing import Any

import hypothesis
from hypothesis import stateful
from hypothesis import strategies
import libvirt

from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_libvirt
from tests import base
from tests import supervised

_EXAMPLES = int(os.environ.get('NOVA_LIBVIRT_MACHINE_EXAMPLES', '0'))
_SETTINGS = supervised.SETTINGS
_State = connection_spec.ConnectionState
_Transition = event_spec.Transition

_LIFECYCLE = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
_SET_UP = ('setKeepAlive', 'registerCloseCallback',
           'domainEventRegisterAny', 'getAllDomainStats')
_CALLBACKS = 9
_OPERATORS_REASON = 'a new disk'

# Longer than any deadline and any pause between attempts.
_LONG_S = 200.0

_BROKEN = fake_fault.libvirt_error(
    libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC,
    'client socket is closed')
_OTHER = fake_fault.libvirt_error(
    libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_FROM_NONE, 'out of memory')

# What may follow which, in the life of a guest.
_NEXT = {
    'shutdown': {_Transition.STARTED: 'running'},
    'running': {_Transition.STOPPED: 'shutdown',
                _Transition.PAUSED: 'paused'},
    'paused': {_Transition.STOPPED: 'shutdown',
               _Transition.RESUMED: 'running'},
}
_STATES = {libvirt.VIR_DOMAIN_SHUTOFF: 'shutdown',
           libvirt.VIR_DOMAIN_RUNNING: 'running',
           libvirt.VIR_DOMAIN_PAUSED: 'paused'}
_EVENTS = {
    _Transition.STARTED: (libvirt.VIR_DOMAIN_RUNNING,
                          libvirt.VIR_DOMAIN_EVENT_STARTED),
    _Transition.STOPPED: (libvirt.VIR_DOMAIN_SHUTOFF,
                          libvirt.VIR_DOMAIN_EVENT_STOPPED),
    _Transition.PAUSED: (libvirt.VIR_DOMAIN_PAUSED,
                         libvirt.VIR_DOMAIN_EVENT_SUSPENDED),
    _Transition.RESUMED: (libvirt.VIR_DOMAIN_RUNNING,
                          libvirt.VIR_DOMAIN_EVENT_RESUMED),
}


@dataclasses.dataclass(slots=True)
class Watched:
    """A guest and what the listener knows of it."""

    guest: fake_libvirt.Guest
    state: str
    """As the events have left it."""
    domain_id: int
    live: list[_Transition] = dataclasses.field(default_factory=list)
    """What has happened since it was last looked at, with a subscription."""
    missed: set[int] = dataclasses.field(default_factory=set)
    """When anything has happened without one: the listings before it."""

    def net(self) -> list[_Transition]:
        """Return what is to be seen of what was missed."""
        now = _STATES[self.guest.state]
        arrival = [_Transition.STARTED] + (
            [_Transition.PAUSED] if now == 'paused' else [])
        if now == 'shutdown':
            return [_Transition.STOPPED] if self.state != now else []
        if self.state == 'shutdown':
            return arrival
        if self.domain_id != self.guest.id:
            return [_Transition.STOPPED, *arrival]
        if self.state == now:
            return []
        return [_Transition.PAUSED if now == 'paused'
                else _Transition.RESUMED]


_STEPS = strategies.sampled_from((None, None, None, 0, 1, 2, 5))


class SupervisorMachine(stateful.RuleBasedStateMachine):
    """Faults, and what the supervisor makes of them."""

    @stateful.initialize(
        seed=strategies.integers(0, 1000), keepalive=strategies.booleans(),
        running=strategies.booleans())
    def begin(self, seed: int, keepalive: bool, running: bool) -> None:
        self.keepalive = keepalive
        self.world = world = supervised.World(seed, keepalive=keepalive)
        world.setUp()
        self.stepped = world.runtime
        self.supervisor = world.supervisor
        self.hypervisor = world.hypervisor
        self.callers: list[futures.Future[Any]] = []
        self.hangs: list[fake_fault.Hang] = []
        self.operators_reason = ''
        self.stopped_with: tuple[int, ...] | None = None
        self.heard = 0
        self.guests = [
            Watched(world.hypervisor.add_guest(
                f'guest{number}', uuid=f'{number}', state=state),
                _STATES[state], -1)
            for number, state in enumerate(_STATES)]
        # What is found first is what the listener is taken to know.
        self.is_first = True
        # Whether it ends with everything well, or is stopped as it is.
        self.is_to_be_well = bool(seed % 2)
        if running:
            self.start(None)
            self.is_well()

    def teardown(self) -> None:
        if hasattr(self, 'world'):
            try:
                self.end_well()
            finally:
                self.world.cleanUp()

    # How steps are made.

    def go_on(self, steps: int | None) -> None:
        """Let the threads run, and look at each step."""
        for _ in range(20_000 if steps is None else steps):
            if not self.stepped.step():
                break
            self.world.observe()
        else:
            assert steps is not None, 'the threads do not come to rest'

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small portions, and look at each."""
        end = self.stepped.monotonic() + seconds
        while (left_s := end - self.stepped.monotonic()) > 0:
            self.go_on(None)
            self.stepped.advance(min(0.5, left_s))
            self.world.observe()
        self.go_on(None)

    def call(self, job: Callable[[], Any]) -> futures.Future[Any]:
        """Have a caller do something that may fail as it ought to."""
        future: futures.Future[Any] = futures.Future()
        self.callers.append(future)
        began_at_s = self.stepped.monotonic()

        def run() -> None:
            try:
                future.set_result(job())
            except exception.DriverError as error:
                cause = error.__cause__
                if isinstance(cause, (ValueError, TypeError, LookupError)):
                    self.world.wrong.append(f'{cause!r} hidden in {error}')
                future.set_result(error)
            except Exception as error:
                self.world.wrong.append(f'a caller got {error!r}')
            if self.stepped.monotonic() - began_at_s > 40:
                self.world.wrong.append('a caller waited too long')

        self.stepped.spawn('caller', run)
        return future

    @property
    def is_stopped(self) -> bool:
        return self.stopped_with is not None

    def traces(self) -> tuple[int, ...]:
        """Return all that grows when something happens."""
        world = self.world
        return (len(world.attempts), len(world.record.words),
                len(world.notifier.errors), len(world.listener.events))

    # The service.

    @stateful.precondition(lambda self: not self.world.supervised)
    @stateful.rule(steps=_STEPS)
    def start(self, steps: int | None) -> None:
        self.stopped_with = None
        self.call(self.world.start)
        # A stop that comes from now on is later.
        self.stepped.step(self.stepped.threads[-1])
        self.go_on(steps)

    @stateful.precondition(lambda self: not self.is_stopped)
    @stateful.rule()
    def stop(self) -> None:
        began_at_s = self.stepped.monotonic()
        future = self.call(self.world.stop)
        while not future.done():
            assert self.stepped.monotonic() - began_at_s <= 2, 'slow stop'
            self.pass_time(0.1)
        # What has begun comes to its end.
        self.pass_time(0.1)
        self.stopped_with = self.traces()

    @stateful.rule(number=strategies.integers(1, 4), steps=_STEPS)
    def ask(self, number: int, steps: int | None) -> None:
        for _ in range(number):
            self.call(self.supervisor.connection)
        self.go_on(steps)

    @stateful.precondition(lambda self: self.keepalive)
    @stateful.rule(steps=_STEPS)
    def look(self, steps: int | None) -> None:
        self.call(lambda: self.supervisor.look(
            'ask for the version', lambda raw: raw.getLibVersion()))
        self.go_on(steps)

    @stateful.rule(steps=_STEPS)
    def renew(self, steps: int | None) -> None:
        self.call(self.world.renew)
        self.go_on(steps)

    # The daemon.

    @stateful.rule(refuses=strategies.booleans(), steps=_STEPS,
                   reason=strategies.integers(0, 3))
    def daemon_dies(
            self, refuses: bool, steps: int | None, reason: int) -> None:
        if refuses:
            self.hypervisor.refuse_connections()
        self.hypervisor.break_connections(reason)
        self.go_on(steps)

    @stateful.rule()
    def daemon_refuses(self) -> None:
        self.hypervisor.refuse_connections()

    @stateful.rule()
    def daemon_returns(self) -> None:
        self.hypervisor.accept_connections()

    @stateful.rule(method=strategies.sampled_from((
        'openAuth', *_SET_UP, 'getLibVersion', 'close')))
    def call_will_hang(self, method: str) -> None:
        # Without keepalive the caller's own thread makes the test.
        if method != 'getLibVersion' or self.keepalive:
            self.hangs.append(self.hypervisor.block(method, 1))

    @stateful.rule(method=strategies.sampled_from(('openAuth', *_SET_UP)),
                   seconds=strategies.sampled_from((1.0, 9.9, 11.0, 25.0)))
    def attempt_hangs(self, method: str, seconds: float) -> None:
        self.hangs.append(self.hypervisor.block(method, 1))
        self.hypervisor.break_connections()
        self.call(self.supervisor.connection)
        self.pass_time(seconds)

    @stateful.rule(steps=_STEPS)
    def hangs_end(self, steps: int | None) -> None:
        for hang in self.hangs:
            hang.release()
        self.go_on(steps)

    @stateful.rule(method=strategies.sampled_from(_SET_UP))
    def set_up_will_break(self, method: str) -> None:
        self.hypervisor.break_next(method)

    @stateful.precondition(lambda self: not self.keepalive)
    @stateful.rule(error=strategies.sampled_from((_BROKEN, _OTHER)))
    def test_will_fail(self, error: libvirt.libvirtError) -> None:
        self.hypervisor.fail_next('getLibVersion', error)

    @stateful.rule(age=strategies.integers(0, 3), steps=_STEPS)
    def close_is_told(self, age: int, steps: int | None) -> None:
        """A session is said to be closed; an old one, or once more."""
        number = self.supervisor.generation - age
        session = self.supervisor.session
        if session is None or session.generation != number:
            self.world.inbox.put(session_module.Closed(number, 1))
        elif session.closed:
            self.world.inbox.put(session_module.Closed(number, 1))
            self.world.inbox.put(session_module.Closed(number, 1))
        self.go_on(steps)

    @stateful.rule(number=strategies.integers(0, 2))
    def old_news(self, number: int) -> None:
        """News of old sessions change nothing."""
        self.go_on(None)
        before = self.traces(), self.supervisor.session
        generation = self.supervisor.generation
        guest = self.guests[number].guest
        if self.supervisor.session is None or self.callers and not all(
                one.done() for one in self.callers):
            return
        for old in range(max(0, generation - 2), generation):
            self.world.inbox.put(session_module.Closed(old, 1))
            for _, kind in _EVENTS.values():
                self.world.lifecycle.receive(
                    fake_libvirt.FakeDomain(self.any_link(), guest),
                    kind, 0, old)
        self.go_on(None)
        assert before == (self.traces(), self.supervisor.session), 'old news'

    def any_link(self) -> Any:
        return self.hypervisor.connections[-1]

    # The guests.

    @stateful.rule(number=strategies.integers(0, 2),
                   choice=strategies.integers(0, 1), steps=_STEPS)
    def guest_changes(
            self, number: int, choice: int, steps: int | None) -> None:
        watched = self.guests[number]
        guest = watched.guest
        possible = sorted(_NEXT[_STATES[guest.state]])
        transition = possible[choice % len(possible)]
        guest.state, kind = _EVENTS[transition]
        if transition == _Transition.STARTED:
            guest.id = self.hypervisor.new_id()
        elif transition == _Transition.STOPPED:
            guest.id = -1
        session = self.supervisor.session
        if session is not None and not session.closed:
            watched.live.append(transition)
        else:
            # Perhaps between subscription and listing, which may be either.
            watched.missed.add(
                self.hypervisor.calls.get('getAllDomainStats', 0))
            if self.hypervisor.callback_count():
                watched.live.append(transition)
        self.hypervisor.emit(_LIFECYCLE, guest, kind, 0)
        self.go_on(steps)

    @stateful.rule(
        changes=strategies.lists(strategies.tuples(
            strategies.integers(0, 2), strategies.integers(0, 1)),
            min_size=1, max_size=5),
        seconds=strategies.sampled_from((0.0, 0.6, 3.0, 20.0)))
    def guests_change_in_a_gap(
            self, changes: list[tuple[int, int]], seconds: float) -> None:
        self.hypervisor.refuse_connections()
        self.hypervisor.break_connections()
        self.go_on(None)
        for number, choice in changes:
            self.guest_changes(number, choice, 0)
        self.pass_time(seconds)
        self.hypervisor.accept_connections()

    # The ports.

    @stateful.rule(enabled=strategies.booleans())
    def operator_decides(self, enabled: bool) -> None:
        self.operators_reason = '' if enabled else _OPERATORS_REASON
        self.world.record.by_operator(enabled, self.operators_reason)

    @stateful.rule(failures=strategies.integers(0, 3),
                   delay_s=strategies.sampled_from((0.0, 0.5, 3.0, 30.0)))
    def record_is_ill(self, failures: int, delay_s: float) -> None:
        self.world.record.failures = failures
        self.world.record.delay_s = delay_s

    # Time.

    @stateful.rule(seconds=strategies.sampled_from(
        (0.1, 0.4, 0.7, 1.0, 2.0, 4.9, 5.1, 11.0, 25.0)))
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)

    # What must hold.

    @stateful.rule()
    def is_well(self) -> None:
        """All faults end; everything is as it should be."""
        self.heal()
        if self.world.supervised:
            assert self.supervisor.state == _State.CONNECTED, 'no connection'
            self.check_connected()
        elif not self.is_stopped:
            # One for each fault that has not happened yet.
            for _ in range(60):
                asked = self.call(self.supervisor.connection)
                self.pass_time(_LONG_S / 4)
                if not isinstance(asked.result(0), Exception):
                    break
            self.check_connected()
        self.check_rest()

    def heal(self) -> None:
        for hang in self.hangs:
            hang.release()
        self.hangs.clear()
        self.hypervisor.accept_connections()
        self.world.record.delay_s = 0.0
        self.pass_time(_LONG_S)
        self.world.renewed = False

    def check_connected(self) -> None:
        session = self.supervisor.session
        assert session is not None, 'no session'
        assert self.hypervisor.unclosed_connections() == [session.raw]
        assert self.hypervisor.callback_count() == _CALLBACKS
        assert not self.world.record.content.driver_reason, 'still disabled'
        self.check_guests()

    def check_rest(self) -> None:
        """Nobody waits, and nothing happens any more."""
        assert all(one.done() for one in self.callers), 'a caller waits'
        assert not self.world.calls.running(), 'a call runs'
        before = self.traces()
        self.stepped.advance(_LONG_S)
        assert before == self.traces(), 'no rest'

    def check_guests(self) -> None:
        events = self.world.listener.events[self.heard:]
        self.heard += len(events)
        for watched in self.guests:
            told = [one for one in events if one.uuid == watched.guest.uuid]
            if not self.is_first:
                self.check_guest(watched, told)
            watched.state = _STATES[watched.guest.state]
            watched.domain_id = watched.guest.id
            watched.live, watched.missed = [], set()
        self.is_first = False

    def check_guest(
            self, watched: Watched,
            told: list[event_spec.LifecycleEvent]) -> None:
        transitions = [one.transition for one in told]
        state = watched.state
        for transition in transitions:
            assert transition in _NEXT[state], (
                f'{transitions} of a guest that was {watched.state}')
            state = _NEXT[state][transition]
        assert state == _STATES[watched.guest.state], 'wrong in the end'
        if not watched.missed:
            assert transitions == watched.live
            assert not any(one.synthesized for one in told)
        elif not watched.live and len(watched.missed) == 1:
            assert transitions == watched.net()
            assert all(one.synthesized for one in told)

    @stateful.rule()
    def is_down(self) -> None:
        """The daemon stays away; who supervises has said so."""
        self.heal()
        if not self.world.supervised:
            return
        self.hypervisor.refuse_connections()
        self.hypervisor.break_connections()
        attempts = len(self.world.attempts)
        self.pass_time(_LONG_S)
        assert self.world.record.content.driver_reason, 'still enabled'
        assert self.supervisor.state == _State.BROKEN
        tried = len(self.world.attempts) - attempts
        assert 18 <= tried <= 27, f'{tried} attempts'
        assert not self.hypervisor.unclosed_connections()
        assert not self.hypervisor.callback_count()

    @stateful.rule()
    def breaker_is_open(self) -> None:
        """After a failed attempt callers fail at once."""
        if not (self.world.supervised and self.world.failures
                and self.supervisor.state == _State.BROKEN):
            return
        attempts = len(self.world.attempts)
        future = self.call(self.supervisor.connection)
        self.stepped.step(self.stepped.threads[-1])
        assert future.done(), 'a caller waits although the breaker is open'
        assert isinstance(
            future.result(), exception.HypervisorUnavailable)
        assert attempts == len(self.world.attempts)

    @stateful.invariant()
    def nothing_is_wrong(self) -> None:
        if not hasattr(self, 'world'):
            return
        world = self.world
        assert not world.wrong, world.wrong
        odd = [one for one in self.stepped.failures
               if not isinstance(one, exception.DriverError)]
        assert not odd, odd
        content = world.record.content
        assert content.operator_reason == self.operators_reason
        assert world.record.disables <= world.outages + 1
        assert len(world.notifier.errors) <= world.outages + 1
        if self.stopped_with is not None:
            assert self.stopped_with == self.traces(), 'not stopped'
            assert self.supervisor.session is None
            assert self.supervisor.state == _State.DISCONNECTED

    def end_well(self) -> None:
        """Stop, whatever there was; nothing is left."""
        if self.is_to_be_well:
            self.is_well()
        if not self.is_stopped:
            self.stop()
        self.heal()
        self.nothing_is_wrong()
        assert not self.hypervisor.unclosed_connections(), 'left open'
        assert not self.hypervisor.callback_count(), 'left registered'
        self.check_rest()
        assert not self.stepped.threads, self.stepped.threads


class SupervisorMachineTest(base.TestCase):

    def test_whatever_happens(self) -> None:
        # Thousands of faults, each with its traceback.
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        stateful.run_state_machine_as_test(
            SupervisorMachine, settings=hypothesis.settings(
                max_examples=_EXAMPLES or 300, stateful_step_count=40,
                deadline=None, derandomize=not _EXAMPLES, database=None,
                report_multiple_bugs=False,
                suppress_health_check=list(hypothesis.HealthCheck)))
