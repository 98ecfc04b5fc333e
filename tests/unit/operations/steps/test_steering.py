# SPDX-License-Identifier: Apache-2.0

from typing import Any

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
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def state(self) -> reach.GuestState:
        return reach.GuestState(State.RUNNING, 'booted')

    def figures(self) -> migration_spec.Figures | None:
        return migration_spec.Figures(
            memory_total=self.total) if self.total else None

    def abort_job(self) -> None:
        self._do('abort')

    def pause(self) -> None:
        self._do('pause')

    def _do(self, verb: str) -> None:
        if self.failing:
            self.failing -= 1
            raise exception.LibvirtFailure(
                tried=verb, reason='another job', code=55, domain=10)
        self.done.append(verb)


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
