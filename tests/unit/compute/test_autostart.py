# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from typing import Any

import fixtures

from nova_libvirt_driver.compute import autostart
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import stepped
from tests import base

_State = instance_spec.PowerState
UUID = '4c2a9a1e-7d7c-4a58-9f3e-2b1f6b1b7a11'


class Driver:
    """Has one guest that does not run."""

    def __init__(self) -> None:
        self.failures = 0
        self.connected = True
        self.marked = True
        self.row = instance_spec.InstanceSummary(
            uuid=UUID, name='web1', state=_State.SHUTDOWN)
        self.started: list[float] = []
        self.notes: list[bool] = []
        self.lost = False
        self.others: list[instance_spec.InstanceSummary] = []
        self.hangs: Callable[[str], object] = lambda uuid: None
        self.now_s: Any = None

    def list_instance_summaries(self) -> list[instance_spec.InstanceSummary]:
        if not self.connected:
            raise exception.HypervisorUnavailable(
                host='here', uri='fake:///', reason='gone')
        return [self.row, *self.others]

    def is_autostart_due(self, instance: instance_spec.Instance) -> bool:
        return self.marked and not (self.notes and self.notes[-1])

    def note_autostart(
            self, instance: instance_spec.Instance, *, stopped: bool) -> None:
        self.notes.append(stopped)
        self.lost = False

    def note_autostart_lost(self, instance: instance_spec.Instance) -> None:
        self.lost = True

    def is_autostart_lost(self, instance: instance_spec.Instance) -> bool:
        return self.lost

    def resume_state_on_host_boot(
            self, instance: instance_spec.Instance) -> None:
        self.hangs(instance.uuid)
        self.started.append(self.now_s())
        if self.failures:
            self.failures -= 1
            raise exception.WrongState(
                tried='start', instance=UUID, state='broken')


class AutostartTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.clock = stepped.Stepped()
        self.addCleanup(self.clock.close)
        self.driver = Driver()
        self.driver.now_s = self.clock.monotonic
        self.autostart = autostart.Autostart(self.driver, self.clock)

    def happen(
            self, detail: str, transition: event_spec.Transition = (
                event_spec.Transition.STOPPED)) -> None:
        self.autostart.note(self.event(detail, transition))
        self.clock.run()

    def event(
            self, detail: str,
            transition: event_spec.Transition) -> event_spec.LifecycleEvent:
        return event_spec.LifecycleEvent(
            uuid=UUID, name='web1', generation=1, timestamp=0.0,
            transition=transition, detail=detail)

    def crash(self) -> None:
        self.happen('failed', event_spec.Transition.CRASHED)

    def test_what_is_marked_starts_as_soon_as_libvirt_is_there(self) -> None:
        self.driver.connected = False
        self.autostart.begin()
        self.clock.advance(5)
        self.driver.connected = True

        self.clock.advance(5)

        self.assertEqual([6.0], self.driver.started)

    def test_what_has_ended_on_purpose_is_not_started(self) -> None:
        for reason, expected in (
                ('shutdown', [True]), ('destroyed', [True]),
                ('crashed', []), ('failed', []), ('', [])):
            self.driver.notes.clear()
            self.driver.started.clear()
            self.driver.row = instance_spec.InstanceSummary(
                uuid=UUID, name='web1', state=_State.SHUTDOWN, reason=reason)

            self.autostart.begin()
            self.clock.run()

            self.assertEqual(expected, self.driver.notes, reason)
            self.assertEqual(not expected, bool(self.driver.started), reason)

    def test_one_that_is_lost_gets_a_few_tries(self) -> None:
        for _ in range(4):
            self.crash()
            self.clock.advance(100)

        self.assertEqual([1.0, 115.0, 260.0], self.driver.started)
        self.assertEqual([True], self.driver.notes)
        self.assertIn('stays off until somebody starts it', self.log.output)

    def test_a_start_that_fails_is_repeated(self) -> None:
        for begin in (self.crash, self.autostart.begin):
            self.driver.failures = 5
            self.driver.started.clear()
            begin()
            begun_s = self.clock.monotonic()

            self.clock.advance(1000)

            pause_s = 1.0 if begin == self.crash else 0.0
            self.assertEqual([begun_s + pause_s + s for s in (
                0, 1, 16, 76, 376, 676)], self.driver.started)
            self.assertEqual([], self.driver.notes)
            self.assertNotIn('QEMU has ended again', self.log.output)

    def test_a_start_that_failed_was_no_stop_on_purpose(self) -> None:
        self.driver.failures = 1
        self.autostart.begin()
        self.clock.run()
        # As libvirt calls what the undo did.
        self.driver.row = instance_spec.InstanceSummary(
            uuid=UUID, name='web1', state=_State.SHUTDOWN,
            reason='destroyed')
        again = autostart.Autostart(self.driver, self.clock)

        again.begin()
        self.clock.run()

        self.assertEqual(2, len(self.driver.started))
        self.assertEqual([], self.driver.notes)

    def test_one_stopped_between_two_tries_stays_off(self) -> None:
        self.driver.failures = 9
        self.autostart.begin()
        self.clock.advance(5)
        self.happen('destroyed')

        self.clock.advance(1000)

        self.assertEqual([0.0, 1.0], self.driver.started)

    def test_a_start_that_hangs_holds_up_nothing(self) -> None:
        other = '9d3f0f6e-51c7-43ab-8f0e-d3c1b2a49f22'
        self.driver.others = [instance_spec.InstanceSummary(
            uuid=other, name='web2', state=_State.SHUTDOWN)]
        self.driver.hangs = lambda uuid: (
            uuid == UUID and self.clock.wait(lambda: False, 300))
        self.autostart.begin()

        self.clock.advance(10)

        self.assertEqual([0.0], self.driver.started)
        self.happen('destroyed')
        self.assertEqual([True], self.driver.notes)

    def test_one_whose_qemu_ends_as_it_starts_is_had_back(self) -> None:
        def end(uuid: str) -> None:
            self.driver.hangs = lambda uuid: None
            self.autostart.note(self.event(
                'failed', event_spec.Transition.CRASHED))

        self.driver.hangs = end
        self.autostart.begin()

        self.clock.advance(10)

        self.assertEqual([0.0, 1.0], self.driver.started)

    def test_one_that_has_run_for_long_begins_anew(self) -> None:
        for _ in range(6):
            self.crash()
            self.clock.advance(700)

        self.assertEqual(6, len(self.driver.started))
        self.assertEqual([], self.driver.notes)

    def test_one_that_is_stopped_meanwhile_is_left_alone(self) -> None:
        self.crash()
        self.happen('destroyed')

        self.clock.advance(100)

        self.assertEqual([], self.driver.started)
        self.assertEqual([True], self.driver.notes)

    def test_one_without_the_mark_stays_off(self) -> None:
        self.driver.marked = False
        self.crash()

        self.clock.advance(100)

        self.assertEqual([], self.driver.started)

    def test_a_connection_that_is_lost_too_costs_no_try(self) -> None:
        self.driver.connected = False
        self.crash()
        self.clock.advance(30)
        self.driver.connected = True

        self.clock.advance(30)

        self.assertEqual([31.0], self.driver.started)

    def test_starts_and_stops_are_noted(self) -> None:
        for detail, transition in (
                ('shutdown', event_spec.Transition.STOPPED),
                ('booted', event_spec.Transition.STARTED),
                ('migrated', event_spec.Transition.STOPPED)):
            self.happen(detail, transition)

        self.assertEqual([True, False], self.driver.notes)
