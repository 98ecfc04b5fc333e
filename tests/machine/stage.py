# SPDX-License-Identifier: Apache-2.0

"""What a machine of faults acts on, and how time passes there."""

from collections.abc import Callable
from concurrent import futures
from typing import Any

from hypothesis import stateful

from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_fault
from tests.machine import guests
from tests import supervised

LONG_S = 200.0
"""Longer than any deadline and any pause between attempts."""


class Stage(stateful.RuleBasedStateMachine):
    """A supervisor and its world, three guests, and callers."""

    def make(self, seed: int, *, keepalive: bool) -> None:
        """Make all of it; nothing is started."""
        self.keepalive = keepalive
        self.world = world = supervised.World(seed, keepalive=keepalive)
        world.setUp()
        self.stepped = world.runtime
        self.link = world.link
        self.hypervisor = world.hypervisor
        self.callers: list[futures.Future[Any]] = []
        self.hangs: list[fake_fault.Hang] = []
        self.operators_reason = ''
        self.stopped_with: tuple[int, ...] | None = None
        self.heard = 0
        self.guests = [
            guests.Watched(world.hypervisor.add_guest(
                f'guest{number}', uuid=f'{number}', state=state),
                guests.STATES[state], -1)
            for number, state in enumerate(guests.STATES)]
        # What is found first is what the listener is taken to know.
        self.is_first = True
        # Whether it ends with everything well, or is stopped as it is.
        self.is_to_be_well = bool(seed % 2)

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

    def heal(self) -> None:
        for hang in self.hangs:
            hang.release()
        self.hangs.clear()
        self.hypervisor.accept_connections()
        self.world.record.delay_s = 0.0
        self.pass_time(LONG_S)
        self.world.renewed = False
