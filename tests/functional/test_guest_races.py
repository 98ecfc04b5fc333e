# SPDX-License-Identifier: Apache-2.0

"""Verbs at the same time: deletions in between, and many at once."""

from collections.abc import Callable
import concurrent.futures
import fcntl
import functools
import pathlib

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress
from nova_libvirt_driver.testing import specs
from tests.functional import guest_base

SNAPSHOT_ID = '5f0c1f0e-6d1f-4a39-9f0c-0f3d5a9d7b11'
# On eventlet more than half of its pool, so that calls wait for a thread.
SPAWNS = 20
TIMEOUT_S = 400.0


class InterruptingProgress(fake_progress.RecordingProgress):
    """Does something when a step begins.

    :param step_number: the step, counted from 1
    """

    def __init__(
            self, step_number: int, interrupt: Callable[[], object]) -> None:
        super().__init__()
        self._step_number = step_number
        self._interrupt = interrupt

    def step(self, name: str) -> None:
        super().step(name)
        if len(self.steps) == self._step_number:
            self._interrupt()


def _is_locked(path: pathlib.Path) -> bool:
    """Say whether a request counts: one that nobody holds does not."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class DeletionTest(guest_base.GuestTestCase):
    """A guest is deleted while another verb is about it."""

    def setUp(self) -> None:
        super().setUp()
        self.deletions: list[concurrent.futures.Future[None]] = []
        self.pool = concurrent.futures.ThreadPoolExecutor()
        self.addCleanup(self.pool.shutdown)

    def delete(self, spec: guest_spec.GuestSpec) -> None:
        """Begin to destroy a guest; return when it waits for its lock."""
        if self.deletions:
            return
        self.deletions.append(self.pool.submit(self.driver.destroy, spec))
        wanted = (self.instances_path / '.operations'
                  / f'{spec.uuid}@{self.config.conf.host}.cancel')
        fake_ports.wait_until(
            lambda: _is_locked(wanted) or self.deletions[0].done(),
            'the deletion under way')

    def end_deletion(self) -> None:
        self.deletions.pop().result(TIMEOUT_S)

    def running(self) -> guest_spec.GuestSpec:
        spec = self.boot_guest('web')
        self.driver.spawn(spec)
        self.wait_console(spec, 'web is up')
        return spec

    def test_spawn_gives_up_whatever_it_is_at(self) -> None:
        spec = self.boot_guest('web')
        before = self.look_at_host()
        steps = 0

        while True:
            progress = InterruptingProgress(
                steps + 1, functools.partial(self.delete, spec))
            try:
                self.driver.spawn(spec, progress=progress)
            except exception.WrongState as error:
                self.assertIn('being deleted', str(error))
            if not self.deletions:
                break
            self.end_deletion()
            self.assert_host_is(before)
            steps += 1

        self.assertEqual(steps, len(progress.steps))

    def test_snapshot_gives_up_whatever_it_is_at(self) -> None:
        before = self.look_at_host()
        steps = 0

        while True:
            spec = self.running()
            known = self.images.ids
            progress = InterruptingProgress(
                steps + 1, functools.partial(self.delete, spec))
            try:
                self.driver.snapshot(spec, SNAPSHOT_ID, progress=progress)
            except exception.WrongState as error:
                self.assertIn('being deleted', str(error))
            if not self.deletions:
                break
            self.end_deletion()
            self.assert_host_is(before)
            self.assertEqual(known, self.images.ids)
            steps += 1

        self.assertEqual(steps, len(progress.steps))

    def test_download_is_ended(self) -> None:
        spec = self.boot_guest('web')
        before = self.look_at_host()
        self.images.faults.before_chunk = functools.partial(
            self.delete, spec)

        error = self.assertRaises(
            exception.WrongState, self.driver.spawn, spec)

        self.end_deletion()
        self.assertIn('being deleted', str(error))
        self.assert_host_is(before)

    def test_upload_is_ended(self) -> None:
        before = self.look_at_host()
        spec = self.running()
        self.images.faults.before_chunk = functools.partial(
            self.delete, spec)

        self.assertRaises(exception.WrongState, self.driver.snapshot, spec,
                          SNAPSHOT_ID)

        self.end_deletion()
        self.assert_host_is(before)
        self.assertNotIn(SNAPSHOT_ID, self.images.ids)


class ManyAtOnceTest(guest_base.GuestTestCase):

    def test_image_of_many_spawns_is_downloaded_once(self) -> None:
        image = specs.boot_sector_image(self.images, 'a guest is up')
        before = self.look_at_host()
        guests = [specs.guest_spec(f'web{number}', image.id)
                  for number in range(SPAWNS)]

        results = fake_ports.run_threads(
            [functools.partial(self.driver.spawn, spec) for spec in guests],
            timeout_s=TIMEOUT_S)

        self.assertEqual([None] * SPAWNS, results)
        self.assertEqual([image.id], self.images.downloads)
        for spec in guests:
            self.wait_console(spec, 'a guest is up')
        results = fake_ports.run_threads(
            [functools.partial(self.driver.destroy, spec)
             for spec in guests], timeout_s=TIMEOUT_S)
        self.assertEqual([None] * SPAWNS, results)
        self.assert_host_is(before)
        self.assertNotIn('ERROR', self.log.output)

    def test_spawns_of_one_name_make_one_guest(self) -> None:
        image = specs.boot_sector_image(self.images, 'a guest is up')
        before = self.look_at_host()
        guests = [specs.guest_spec('web', image.id) for _ in range(5)]

        results = fake_ports.run_threads(
            [functools.partial(self.driver.spawn, spec) for spec in guests],
            timeout_s=TIMEOUT_S)

        [made] = [spec for spec, result in zip(guests, results, strict=True)
                  if result is None]
        self.assertEqual(
            4, sum(isinstance(result, exception.InstanceExists)
                   for result in results), str(results))
        self.wait_console(made, 'a guest is up')
        self.driver.destroy(made)
        self.assert_host_is(before)
