# SPDX-License-Identifier: Apache-2.0

from typing import Any

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations.steps import steering
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from tests import base

State = instance_spec.PowerState


class DowntimeTest(base.TestCase):

    def ladder(self, downtime_ms: int, steps: int = 5) -> list[int]:
        ways = migration_spec.Ways(
            downtime_ms=downtime_ms, downtime_steps=steps)
        return [steering.downtime_ms(ways, step)
                for step in range(steps + 2)]

    def test_it_grows_to_what_is_allowed_and_no_further(self) -> None:
        self.assertEqual(
            [300, 382, 485, 617, 785, 999, 999], self.ladder(999))
        self.assertEqual([300] * 7, self.ladder(300))

    def test_a_low_limit_counts_from_the_beginning(self) -> None:
        self.assertEqual([100] * 5, self.ladder(100, 3))


class Job:
    """A migration that goes on, of a guest that writes much."""

    uuid = '6ca404f3-d844-4169-bb96-bc792f37de98'

    def figures(self) -> migration_spec.Figures:
        return migration_spec.Figures(memory_total=1 << 30)

    def set_downtime(self, milliseconds: int) -> None:
        pass


class ReportTest(base.TestCase):

    def test_each_pass_over_the_memory_is_not_told(self) -> None:
        told, now, job = [], [0.0], Job()
        made: Any = steering.Steering
        steered = made(
            job, job, migration_spec.Ways(report_interval_s=60),
            lambda figures: told.append(now[0]), lambda: now[0])

        for second in range(1, 130):
            now[0] = second
            steered.iterated(second)
            steered.tick()

        self.assertEqual([1, 61, 121], told)


class Refusing:
    """A migration that can be aborted at the third time only."""

    uuid = '6ca404f3-d844-4169-bb96-bc792f37de98'

    def __init__(self) -> None:
        self.asked = 0
        self.aborted = False

    def abort(self) -> None:
        self.asked += 1
        if self.asked < 3:
            raise exception.LibvirtFailure(
                tried='abort it', reason='there is no job', code=55, domain=10)
        self.aborted = True


class EndedTest(base.TestCase):

    def test_it_is_asked_to_end_until_it_can(self) -> None:
        migration = Refusing()
        ended = steering.Ended(migration)
        reason = KeyboardInterrupt()

        ended.early(reason)
        self.assertFalse(migration.aborted)
        ended.insist()
        ended.insist()

        self.assertTrue(migration.aborted)
        self.assertIs(reason, ended.reason)

    def test_the_first_reason_counts(self) -> None:
        migration = Refusing()
        ended = steering.Ended(migration)

        def fail() -> None:
            raise ValueError('first')

        ended.guard(fail)
        ended.early(KeyboardInterrupt())

        self.assertIsInstance(ended.reason, ValueError)
        self.assertEqual(1, migration.asked)


class Hosts:
    """A guest that goes on, and its job; each verb fails at first.

    :param total: what there is to be sent; 0 for no job as yet
    """

    uuid = Refusing.uuid

    def __init__(self, total: int, failing: int = 2) -> None:
        self.total = total
        self.failing = failing
        self.done: list[str] = []
        self.downtimes: list[int] = []
        self.iteration = 1
        self.is_hidden = False
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def state(self) -> reach.GuestState:
        return reach.GuestState(State.RUNNING, 'booted')

    def figures(self) -> migration_spec.Figures | None:
        if self.is_hidden:
            raise self.refusal('say how far it is')
        return migration_spec.Figures(
            memory_total=self.total, memory_iteration=self.iteration,
            memory_processed=1,
        ) if self.total else None

    def abort(self) -> None:
        self._do('abort')

    def pause(self) -> None:
        self._do('pause')

    def start_post_copy(self) -> None:
        raise self.refusal('switch to post-copy')

    def set_downtime(self, milliseconds: int) -> None:
        self.downtimes.append(milliseconds)
        raise self.refusal('allow that')

    def _do(self, verb: str) -> None:
        if self.failing:
            self.failing -= 1
            raise self.refusal(verb)
        self.done.append(verb)

    def refusal(self, tried: str) -> exception.LibvirtFailure:
        return exception.LibvirtFailure(
            tried=tried, reason='another job', code=55, domain=10)


class TimeTest(base.TestCase):

    def test_what_takes_too_long_is_ended_as_soon_as_it_can_be(self) -> None:
        for total, is_forced, verb in (
                (1 << 20, False, 'abort'), (1 << 20, True, 'pause'),
                # It waits for the other host.
                (0, False, 'abort'), (0, True, 'abort')):
            with self.subTest(total=total, is_forced=is_forced):
                hosts: Any = Hosts(total)
                steered = steering.Steering(
                    hosts, hosts, migration_spec.Ways(
                        completion_timeout_s=10, downtime_ms=300,
                        force_completion=is_forced),
                    lambda figures: None, hosts.clock)
                steered.tick()
                hosts.now += 19
                steered.tick()
                self.assertEqual(2, hosts.failing)

                for _ in range(4):
                    hosts.now += 1
                    steered.tick()

                self.assertEqual([verb], hosts.done)

    def test_it_has_time_for_all_disks(self) -> None:
        """Libvirt counts each from the beginning of its copy on."""
        hosts: Any = Hosts(1 << 20, failing=0)
        steered = steering.Steering(
            hosts, hosts, migration_spec.Ways(completion_timeout_s=10),
            lambda figures: None, hosts.clock)
        steered.tick()
        hosts.total = 8 << 30
        for _ in range(3):
            hosts.now += 25
            steered.tick()

        self.assertEqual([], hosts.done)
        hosts.now += 25
        steered.tick()
        self.assertEqual(['abort'], hosts.done)

    def test_figures_that_cannot_be_had_end_nothing(self) -> None:
        """As when libvirt is past the job, and about to say so."""
        hosts: Any = Hosts(1 << 20, failing=0)
        reported: list[migration_spec.Figures] = []
        steered = steering.Steering(
            hosts, hosts, migration_spec.Ways(
                completion_timeout_s=100, report_interval_s=1),
            reported.append, hosts.clock)
        for is_hidden in (True, False, True, False):
            hosts.is_hidden = is_hidden
            hosts.now += 10
            steered.tick()

        self.assertEqual([], hosts.done)
        self.assertEqual(2, len(reported))

    def test_a_guest_may_stand_still_for_longer_from_the_second_pass_on(
            self) -> None:
        """And who refuses to allow that ends nothing."""
        hosts: Any = Hosts(1 << 20, failing=0)
        steered = steering.Steering(
            hosts, hosts, migration_spec.Ways(
                completion_timeout_s=0, downtime_ms=2_000_000,
                downtime_steps=2, downtime_delay_s=1),
            lambda figures: None, hosts.clock)
        for iteration in (1, 1, 2, 3, 4):
            hosts.iteration = iteration
            hosts.now += 100
            steered.tick()
            if iteration == 1:
                self.assertEqual([], hosts.downtimes)

        self.assertEqual([2_000_000], hosts.downtimes)
        self.assertEqual([], hosts.done)

    def test_a_switch_to_post_copy_that_fails_is_none(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'time.sleep', lambda time_s: None))
        hosts: Any = Hosts(1 << 20, failing=0)
        reported: list[migration_spec.Figures] = []
        steered = steering.Steering(
            hosts, hosts, migration_spec.Ways(
                post_copy=True, force_completion=True,
                completion_timeout_s=10, report_interval_s=1),
            reported.append, hosts.clock)
        for _ in range(3):
            hosts.now += 20
            steered.tick()

        self.assertEqual(['pause'], hosts.done)
        self.assertEqual({False}, {one.is_post_copy for one in reported})
        steered.abort()
        self.assertTrue(steered.aborted)
