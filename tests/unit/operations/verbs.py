# SPDX-License-Identifier: Apache-2.0

"""A fake hypervisor, a lock and a clock for verbs of guests."""

from collections.abc import Callable
import threading

import fixtures as fixtures_library

from nova_libvirt_driver.operations.steps import exclusive
from tests.unit.guest import handles

INSTANCE = handles.INSTANCE
_EVENT_S = 0.02


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._due: list[tuple[float, Callable[[], object]]] = []

    def __call__(self) -> float:
        return self.now_s

    def at(self, when_s: float, function: Callable[[], object]) -> None:
        """Call *function* when the time has come."""
        self._due.append((when_s, function))

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds
        for entry in [one for one in self._due if one[0] <= self.now_s]:
            self._due.remove(entry)
            entry[1]()


class VerbTestCase(handles.HandleTestCase):
    """Has what verbs are made of."""

    def setUp(self) -> None:
        super().setUp()
        self.instances_path = self.useFixture(
            fixtures_library.TempDir()).path
        self.exclusive = exclusive.Exclusive(self.instances_path, 'here')
        self.clock = Clock()
        self.reached.waits.clock = self.clock
        self.reached.waits.pause = self._pause
        self.log = self.useFixture(fixtures_library.FakeLogger())

    def _pause(self, woken: threading.Event, seconds: float) -> None:
        # Events come on a thread, in real time.
        if not woken.wait(_EVENT_S):
            self.clock.sleep(seconds)
