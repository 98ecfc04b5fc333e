# SPDX-License-Identifier: Apache-2.0

"""A daemon that dies while a verb waits for a guest, and comes back."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import specs
from tests.faults import base

PowerState = instance_spec.PowerState

SNAPSHOT_ID = '5a1f6f0e-52f4-4b8f-9a76-1f6cb33fc1aa'
COPIED_BYTES = 128 << 20
AWAY_S = 3.0
"""How long the daemon stays away: many looks."""


class WaitTestCase(base.GuestFaultTestCase):

    own_options = {'look_timeout': 5}

    def spawn(self, name: str) -> guest_spec.GuestSpec:
        spec = self.boot_guest(name)
        self.driver.spawn(spec)
        self.wait_console(spec, f'{name} is up')
        return spec

    def begin(self, job: Callable[[], object]) -> list[object]:
        """Have a thread do it; return where its outcome will be."""
        outcome: list[object] = []

        def run() -> None:
            try:
                outcome.append(job())
            except Exception as error:
                outcome.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        return outcome

    def wait_for(
            self, outcome: list[object], timeout_s: float = 60) -> object:
        base.wait_until(lambda: outcome, 'the outcome', timeout_s=timeout_s)
        return outcome[0]


class ShutdownTest(WaitTestCase):
    """A guest that takes its time to shut down.

    Its image does not obey the power button; when it is to be down, its
    QEMU gets a signal, as which it ends like one that has shut down.
    """

    def setUp(self) -> None:
        super().setUp()
        self.spec = self.spawn('slow')
        self.before = self.look_at_host()
        pid = self.host.guest_pid('slow')
        assert pid is not None
        self.pid = pid

    def power_off(self, timeout_s: int, interval_s: int = 0) -> list[object]:
        outcome = self.begin(lambda: self.driver.power_off(
            self.spec, timeout_s, interval_s))
        time.sleep(1)
        self.assertEqual([], outcome)
        return outcome

    def go_down(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def assert_down(self) -> None:
        self.assert_recovers('slow')
        self.assertIs(PowerState.SHUTDOWN, self.state(self.spec))
        self.driver.power_on(self.spec)
        self.wait_console(self.spec, 'slow is up')

    def test_it_is_down_after_the_daemon_is_back(self) -> None:
        outcome = self.power_off(120, 2)

        self.host.kill_daemon()
        time.sleep(AWAY_S)
        self.restart_daemon()
        time.sleep(AWAY_S)
        self.assertEqual([], outcome)
        self.go_down()

        self.assertIsNone(self.wait_for(outcome))
        self.assert_down()

    def test_it_is_down_before_the_daemon_is_back(self) -> None:
        outcome = self.power_off(120)

        self.host.kill_daemon()
        self.go_down()
        time.sleep(AWAY_S)
        self.restart_daemon()

        self.assertIsNone(self.wait_for(outcome))
        self.assert_down()

    def test_a_daemon_that_stays_away_is_told_in_time(self) -> None:
        outcome = self.power_off(5)

        self.host.kill_daemon()

        with base.within(5 + base.MARGIN_S):
            failure = self.wait_for(outcome)
        self.assertIsInstance(failure, exception.HypervisorUnavailable)
        self.restart_daemon()
        self.assert_recovers('slow')
        self.assertEqual(self.pid, self.host.guest_pid('slow'))
        self.assert_host_is(self.before)

    def test_a_daemon_that_hangs_and_goes_on(self) -> None:
        outcome = self.power_off(120)

        self.host.kill_daemon(signal.SIGSTOP)
        time.sleep(AWAY_S)
        self.host.resume_daemon()
        self.go_down()

        self.assertIsNone(self.wait_for(outcome))
        self.assert_down()


class Throttle(ports.NullProgress):
    """Slows a copy down once it has begun."""

    def __init__(self, slow_down: Callable[[], object]) -> None:
        self._slow_down = slow_down
        self.slow = threading.Event()

    def advance(self, done: int, total: int) -> None:
        if total and not self.slow.is_set():
            self._slow_down()
            self.slow.set()


class SnapshotTestCase(WaitTestCase):
    """A copy of a disk that takes its time."""

    def setUp(self) -> None:
        super().setUp()
        # The image is large, and no leak.
        self.addCleanup(lambda: [vars(self).pop(name) for name in (
            'images', 'image_source')])
        image = self.images.add(
            guests.boot_sector('big is up').ljust(COPIED_BYTES, b'x'))
        self.spec = specs.guest_spec('big', image.id)
        self.driver.spawn(self.spec)
        self.wait_console(self.spec, 'big is up')
        self.before = self.look_at_host()

    def snapshot(self) -> list[object]:
        """Have one begin that would never end; return its outcome."""
        progress = Throttle(lambda: self.host.virsh(
            'blockjob', 'big', 'vda', '--bandwidth', '1', '--bytes'))
        outcome = self.begin(lambda: self.driver.snapshot(
            self.spec, SNAPSHOT_ID, progress=progress))
        base.wait_until(lambda: progress.slow.is_set() or outcome,
                        'a slow copy', timeout_s=60)
        self.assertEqual([], outcome)
        return outcome

    def go_on(self) -> None:
        self.host.virsh('blockjob', 'big', 'vda', '--bandwidth', '0')

    def assert_nothing_left(self) -> None:
        self.assert_recovers('big')
        self.assert_host_is(self.before)
        self.assertNotIn('<mirror', self.host.virsh('dumpxml', 'big'))


class SnapshotTest(SnapshotTestCase):

    def test_it_goes_on_after_the_daemon_is_back(self) -> None:
        outcome = self.snapshot()

        self.host.kill_daemon()
        time.sleep(AWAY_S)
        self.restart_daemon()
        self.go_on()

        self.assertIsNone(self.wait_for(outcome))
        self.assert_nothing_left()
        self.assert_copied()

    def assert_copied(self) -> None:
        """Fail unless the image that was made has the disk's content."""
        made = self.images.show(SNAPSHOT_ID)
        with (self.kept(self.spec.storage.image_id) as before,
              self.kept(SNAPSHOT_ID) as after):
            done = subprocess.run(
                ['qemu-img', 'compare', '-f', 'raw', before, '-F',
                 made.disk_format, after],
                capture_output=True, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)

    @contextlib.contextmanager
    def kept(self, image_id: str) -> Iterator[str]:
        """Have an image in a file."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.images.content(image_id) or b'')
            file.flush()
            yield file.name

    def test_a_guest_that_is_gone_then_is_told_at_once(self) -> None:
        outcome = self.snapshot()

        self.host.kill_daemon()
        pid = self.host.guest_pid('big')
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self.restart_daemon()

        with base.within(base.BACK_S + base.MARGIN_S):
            failure = self.wait_for(outcome)
        self.assertIsInstance(failure, exception.WrongState)
        self.assert_recovers('big')
        self.assertNotIn(SNAPSHOT_ID, self.images.ids)
        self.assertEqual([], self.left())

    def left(self) -> list[str]:
        """Return what is where copies are made."""
        return os.listdir(self.instances_path / 'snapshots')


class LongOutageTest(SnapshotTestCase):

    own_options = {'look_timeout': 5, 'job_timeout': 6}

    def test_it_fails_when_its_time_is_over(self) -> None:
        outcome = self.snapshot()

        self.host.kill_daemon()
        with base.within(6 + base.MARGIN_S):
            failure = self.wait_for(outcome)
        self.assertIsInstance(failure, exception.HypervisorUnavailable)
        self.restart_daemon()

        self.assert_nothing_left()
        self.assertNotIn(SNAPSHOT_ID, self.images.ids)
