# SPDX-License-Identifier: Apache-2.0

"""The faults, and all else that may happen to a supervisor."""

from typing import Any

from hypothesis import stateful
from hypothesis import strategies
import libvirt

from nova_libvirt_driver.events import inbox as inbox_module
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_libvirt
from tests.machine import guests
from tests.machine import stage

_Transition = event_spec.Transition

_LIFECYCLE = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
_SET_UP = ('setKeepAlive', 'registerCloseCallback',
           'domainEventRegisterAny', 'getAllDomainStats')
_OPERATORS_REASON = 'a new disk'

_BROKEN = fake_fault.libvirt_error(
    libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC,
    'client socket is closed')
_OTHER = fake_fault.libvirt_error(
    libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_FROM_NONE, 'out of memory')

_STEPS = strategies.sampled_from((None, None, None, 0, 1, 2, 5))


class Faults(stage.Stage):
    """One rule for each thing that may happen."""

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
            self.call(self.link.connection)
        self.go_on(steps)

    @stateful.precondition(lambda self: self.keepalive)
    @stateful.rule(steps=_STEPS)
    def look(self, steps: int | None) -> None:
        self.call(lambda: self.link.look(
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
        self.call(self.link.connection)
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
        number = self.link.current.generation - age
        session = self.link.current.session
        if session is None or session.generation != number:
            self.world.inbox.put(inbox_module.Closed(number, 1))
        elif session.closed:
            self.world.inbox.put(inbox_module.Closed(number, 1))
            self.world.inbox.put(inbox_module.Closed(number, 1))
        self.go_on(steps)

    @stateful.rule(number=strategies.integers(0, 2))
    def old_news(self, number: int) -> None:
        """News of old sessions change nothing."""
        self.go_on(None)
        before = self.traces(), self.link.current.session
        generation = self.link.current.generation
        guest = self.guests[number].guest
        if self.link.current.session is None or self.callers and not all(
                one.done() for one in self.callers):
            return
        for old in range(max(0, generation - 2), generation):
            self.world.inbox.put(inbox_module.Closed(old, 1))
            for _, kind in guests.EVENTS.values():
                self.link.attempts.receive(
                    fake_libvirt.FakeDomain(self.any_link(), guest),
                    kind, 0, old)
        self.go_on(None)
        assert before == (self.traces(), self.link.current.session), 'old news'

    def any_link(self) -> Any:
        return self.hypervisor.connections[-1]

    # The guests.

    @stateful.rule(number=strategies.integers(0, 2),
                   choice=strategies.integers(0, 1), steps=_STEPS)
    def guest_changes(
            self, number: int, choice: int, steps: int | None) -> None:
        watched = self.guests[number]
        guest = watched.guest
        possible = sorted(guests.NEXT[guests.STATES[guest.state]])
        transition = possible[choice % len(possible)]
        guest.state, kind = guests.EVENTS[transition]
        if transition == _Transition.STARTED:
            guest.id = self.hypervisor.new_id()
        elif transition == _Transition.STOPPED:
            guest.id = -1
        session = self.link.current.session
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
