# SPDX-License-Identifier: Apache-2.0

"""Verbs on a real host whose libvirt dies, or whose disk is full."""

from collections.abc import Callable
import itertools
import re
from typing import Any

from lxml import etree

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress
from nova_libvirt_driver.testing import footprint
from tests.functional import guest_base

KIB = 1 << 10
SNAPSHOT_ID = '5f0c1f0e-6d1f-4a39-9f0c-0f3d5a9d7b11'
DRIVE = configdrive_spec.ConfigDriveSpec(user_data='hello')
RUNNING = instance_spec.PowerState.RUNNING

Verb = Callable[[ports.Progress], object]


class InterruptingProgress(fake_progress.RecordingProgress):
    """Does something when a step begins.

    :param step_number: the step, counted from 1
    """

    def __init__(
            self, step_number: int, interrupt: Callable[[], object]) -> None:
        super().__init__()
        self.step_number = step_number
        self._interrupt = interrupt

    def step(self, name: str) -> None:
        super().step(name)
        if len(self.steps) == self.step_number:
            self._interrupt()


class FaultTestCase(guest_base.GuestTestCase):

    def running(self, **fields: Any) -> guest_spec.GuestSpec:
        """Return a guest that has said all it has to say."""
        spec = self.boot_guest('web', **fields)
        self.driver.spawn(spec)
        self.wait_console(spec, 'web is up')
        return spec

    def assert_runs_from_its_disk(self, spec: guest_spec.GuestSpec) -> None:
        """Fail unless a guest runs, without a job, and not in rescue."""
        self.assertIs(RUNNING, self.state(spec))
        xml = etree.fromstring(self.driver.get_domain_xml(spec).encode())
        self.assertEqual(
            str(self.instances_path / spec.uuid / 'disk'),
            xml.xpath('string(devices/disk[1]/source/@file)'))
        self.assertEqual(
            '', self.host.virsh('blockjob', spec.name, 'vda', '--raw'))
        self.assertEqual([], xml.xpath('//mirror'))

    def look_at_host(self) -> footprint.Footprint:
        # A guest that starts again has printed nothing yet, and another
        # number.
        return footprint.Footprint(tuple(
            re.sub(r'(?<=/domain-)\d+|(?<=console\.log \d{4}) empty', '',
                   line) for line in super().look_at_host().lines))


class FailedStepTest(FaultTestCase):

    def each_step(self, verb: Verb, check: Callable[[], object]) -> None:
        """Let each step of a verb fail, and look each time."""
        for number in itertools.count(1):
            progress = fake_progress.FailingProgress(number)
            try:
                verb(progress)
            except fake_progress.Stopped:
                check()
                continue
            self.assertGreater(number, 4)
            return

    def test_snapshot_of_a_stopped_guest_leaves_nothing(self) -> None:
        spec = self.running()
        self.driver.power_off(spec)
        before, images = self.look_at_host(), self.images.ids

        def check() -> None:
            self.assert_host_is(before)
            self.assertEqual(images, self.images.ids)

        self.each_step(lambda progress: self.driver.snapshot(
            spec, SNAPSHOT_ID, progress=progress), check)

        self.assertIn(SNAPSHOT_ID, self.images.ids)

    def test_rescue_puts_all_of_a_running_guest_back(self) -> None:
        spec = self.running(config_drive=DRIVE)
        before = self.look_at_host()

        def check() -> None:
            self.assert_host_is(before)
            self.assert_runs_from_its_disk(spec)

        self.each_step(lambda progress: self.driver.rescue(
            spec, spec.storage.image_id, progress=progress), check)

    def test_rescue_leaves_a_stopped_guest_stopped(self) -> None:
        spec = self.running(config_drive=DRIVE)
        self.driver.power_off(spec)
        before = self.look_at_host()

        self.each_step(
            lambda progress: self.driver.rescue(
                spec, spec.storage.image_id, progress=progress),
            lambda: self.assert_host_is(before))

    def test_disk_without_a_recorded_format_is_left_alone(self) -> None:
        spec = self.running()
        self.driver.power_off(spec)
        record = self.instances_path / spec.uuid / 'disk.info'
        known = record.read_bytes()
        disk = self.instances_path / spec.uuid / 'disk'
        record.unlink()
        before, content = self.look_at_host(), disk.read_bytes()

        for verb in (lambda: self.driver.resize_root_disk(spec, 1),
                     lambda: self.driver.snapshot(spec, SNAPSHOT_ID),
                     lambda: self.driver.power_on(spec)):
            self.assertRaises(exception.StorageFailure, verb)
            self.assert_host_is(before)

        self.assertEqual(content, disk.read_bytes())
        record.write_bytes(known)
        self.driver.resize_root_disk(spec, 1)
        self.driver.power_on(spec)
        self.wait_console(spec, 'web is up')


class DeadLibvirtTest(FaultTestCase):
    """Libvirt dies at a step; the next process finds it again."""

    def each_death(
            self, verb: Callable[[ports.Progress], object],
            check: Callable[[], object]) -> None:
        for number in itertools.count(1):
            progress = InterruptingProgress(number, self.host.kill_daemon)
            try:
                verb(progress)
            except exception.HypervisorUnavailable:
                self.restart_daemon()
            else:
                # It was past its last call into libvirt.
                self.assertGreater(number, 4)
                self.restart_daemon()
                return
            self.driver = self.make_guest_driver()
            self.wait_until_clean()
            check()

    def wait_until_clean(self) -> None:
        """Wait until nothing is in the journal."""
        fake_ports.wait_until(
            lambda: not list(self.instances_path.glob('.operations/*')),
            'an empty journal')

    def test_spawn_leaves_nothing(self) -> None:
        spec = self.boot_guest('web', config_drive=DRIVE)
        before = self.look_at_host()

        self.each_death(
            lambda progress: self.driver.spawn(spec, progress=progress),
            lambda: self.assert_host_is(before))

    def test_snapshot_leaves_the_guest_alone(self) -> None:
        spec = self.running()
        pid = self.host.guest_pid('web')
        before = self.look_at_host()

        def check() -> None:
            self.assert_host_is(before)
            self.assert_runs_from_its_disk(spec)
            self.assertEqual(pid, self.host.guest_pid('web'))

        self.each_death(lambda progress: self.driver.snapshot(
            spec, SNAPSHOT_ID, progress=progress), check)

    def test_rescue_puts_the_guest_back(self) -> None:
        spec = self.running(config_drive=DRIVE)
        before = self.look_at_host()

        def check() -> None:
            self.assert_host_is(before)
            self.assert_runs_from_its_disk(spec)

        self.each_death(lambda progress: self.driver.rescue(
            spec, spec.storage.image_id, progress=progress), check)
