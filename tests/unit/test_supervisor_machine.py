# SPDX-License-Identifier: Apache-2.0

"""The supervisor under faults in any order, with what must hold always.

Hypothesis makes up what happens; time, threads and libvirt are fakes that
do the same for the same example. ``NOVA_LIBVIRT_MACHINE_EXAMPLES=5000``
lets it search for longer than a test may take.
"""

import logging
import os

import hypothesis
from hypothesis import stateful
from hypothesis import strategies
import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import event as event_spec
from tests import base
from tests.machine import faults
from tests.machine import guests
from tests.machine import stage

_EXAMPLES = int(os.environ.get('NOVA_LIBVIRT_MACHINE_EXAMPLES', '0'))
_State = connection_spec.ConnectionState

_CALLBACKS = 10


class SupervisorMachine(faults.Faults):
    """What must hold, whatever has happened."""

    @stateful.initialize(
        seed=strategies.integers(0, 1000), keepalive=strategies.booleans(),
        running=strategies.booleans())
    def begin(self, seed: int, keepalive: bool, running: bool) -> None:
        self.make(seed, keepalive=keepalive)
        if running:
            self.start(None)
            self.is_well()

    def teardown(self) -> None:
        if hasattr(self, 'world'):
            try:
                self.end_well()
            finally:
                self.world.cleanUp()

    @stateful.rule()
    def is_well(self) -> None:
        """All faults end; everything is as it should be."""
        self.heal()
        if self.world.supervised:
            assert self.link.current.state == _State.CONNECTED, (
                'no connection')
            self.check_connected()
        elif not self.is_stopped:
            # One for each fault that has not happened yet.
            for _ in range(60):
                asked = self.call(self.link.connection)
                self.pass_time(stage.LONG_S / 4)
                if not isinstance(asked.result(0), Exception):
                    break
            self.check_connected()
        self.check_rest()

    def check_connected(self) -> None:
        session = self.link.current.session
        assert session is not None, 'no session'
        assert self.hypervisor.unclosed_connections() == [session.raw]
        assert self.hypervisor.callback_count() == _CALLBACKS
        assert not self.world.record.content.driver_reason, 'still disabled'
        self.check_guests()

    def check_rest(self) -> None:
        """Nobody waits, and nothing happens any more."""
        assert all(one.done() for one in self.callers), 'a caller waits'
        assert not self.world.calls.budget.running, 'a call runs'
        before = self.traces()
        self.stepped.advance(stage.LONG_S)
        assert before == self.traces(), 'no rest'

    def check_guests(self) -> None:
        events = self.world.listener.events[self.heard:]
        self.heard += len(events)
        for watched in self.guests:
            told = [one for one in events if one.uuid == watched.guest.uuid]
            if not self.is_first:
                self.check_guest(watched, told)
            watched.state = guests.STATES[watched.guest.state]
            watched.domain_id = watched.guest.id
            watched.live, watched.missed = [], set()
        self.is_first = False

    def check_guest(
            self, watched: guests.Watched,
            told: list[event_spec.LifecycleEvent]) -> None:
        transitions = [one.transition for one in told]
        state = watched.state
        for transition in transitions:
            assert transition in guests.NEXT[state], (
                f'{transitions} of a guest that was {watched.state}')
            state = guests.NEXT[state][transition]
        assert state == guests.STATES[watched.guest.state], 'wrong in the end'
        if not watched.missed:
            assert transitions == watched.live
            assert not any(one.synthesized for one in told)
        elif not watched.live and len(watched.missed) == 1:
            assert transitions == watched.net()
            assert all(one.synthesized for one in told)

    @stateful.rule(number=strategies.integers(0, 2))
    def guest_dies_in_silence(self, number: int) -> None:
        """A daemon that was restarted finds one dead, and does not say."""
        self.is_well()
        watched = self.guests[number]
        if not self.world.supervised or (
                watched.guest.state == libvirt.VIR_DOMAIN_SHUTOFF):
            return
        self.hypervisor.break_connections()
        self.pass_time(5.0)
        watched.guest.state, watched.guest.id = (
            libvirt.VIR_DOMAIN_SHUTOFF, -1)
        watched.missed.add(-1)
        self.is_well()

    @stateful.rule()
    def is_down(self) -> None:
        """The daemon stays away; who supervises has said so."""
        self.heal()
        if not self.world.supervised:
            return
        self.hypervisor.refuse_connections()
        self.hypervisor.break_connections()
        attempts = len(self.world.attempts)
        self.pass_time(stage.LONG_S)
        assert self.world.record.content.driver_reason, 'still enabled'
        assert self.link.current.state == _State.BROKEN
        tried = len(self.world.attempts) - attempts
        assert 18 <= tried <= 27, f'{tried} attempts'
        assert not self.hypervisor.unclosed_connections()
        assert not self.hypervisor.callback_count()

    @stateful.rule()
    def breaker_is_open(self) -> None:
        """After a failed attempt callers fail at once."""
        if not (self.world.supervised and self.world.failures
                and self.link.current.state == _State.BROKEN):
            return
        attempts = len(self.world.attempts)
        future = self.call(self.link.connection)
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
            assert self.link.current.session is None
            assert self.link.current.state == _State.DISCONNECTED

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
