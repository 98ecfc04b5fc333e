# SPDX-License-Identifier: Apache-2.0

"""What is left on a real host when a verb fails, or its process dies."""

from collections.abc import Callable
import json
import os
import pathlib
import subprocess
from typing import Any
import uuid as uuid_module

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from tests.functional import guest_base
from tests.functional import kills


class UndoTestCase(guest_base.GuestTestCase):

    def running(self, **fields: Any) -> guest_spec.GuestSpec:
        """Return a guest that has said all it has to say."""
        spec = self.boot_guest('web', **fields)
        self.driver.spawn(spec)
        self.wait_console(spec, 'web is up')
        return spec


class FailedStepTest(UndoTestCase):

    def test_spawn_leaves_nothing(self) -> None:
        spec = self.boot_guest('web', config_drive=kills.DRIVE)
        before = self.look_at_host()

        steps = self.fail_each_step(
            lambda progress: self.driver.spawn(spec, progress=progress),
            lambda step: self.assert_host_is(before))

        self.assertGreater(steps, 8)
        self.wait_console(spec, 'web is up')

    def test_snapshot_leaves_the_guest_alone(self) -> None:
        spec = self.running()
        pid = self.host.guest_pid('web')
        before = self.look_at_host()

        def check(step: str) -> None:
            self.assert_host_is(before)
            self.assertEqual(pid, self.host.guest_pid('web'))
            self.assertEqual(1, len(self.images.ids))

        steps = self.fail_each_step(
            lambda progress: self.driver.snapshot(
                spec, str(uuid_module.uuid4()), progress=progress), check)

        self.assertGreater(steps, 4)
        self.assertEqual(2, len(self.images.ids))

    def test_rescue_puts_the_guest_back(self) -> None:
        spec = self.running(config_drive=kills.DRIVE)
        files = sorted(os.listdir(self.instances_path / spec.uuid))
        xml = self.driver.get_domain_xml(spec, inactive=True)

        def check(step: str) -> None:
            self.assertEqual(
                files, sorted(os.listdir(self.instances_path / spec.uuid)))
            self.assertEqual(
                xml, self.driver.get_domain_xml(spec, inactive=True))
            self.assertIs(instance_spec.PowerState.RUNNING, self.state(spec))

        steps = self.fail_each_step(
            lambda progress: self.driver.rescue(
                spec, spec.storage.image_id, progress=progress), check)

        self.assertGreater(steps, 6)

    def test_suspend_that_finds_no_room_leaves_the_guest_running(
            self) -> None:
        spec = self.running()
        done = self.host.run(
            ['mount', '-t', 'tmpfs', '-o', 'size=16k', 'tmpfs',
             '/var/lib/libvirt/qemu/save'])
        self.assertEqual(0, done.returncode, done.stderr)
        self.addCleanup(
            self.host.run, ['umount', '/var/lib/libvirt/qemu/save'])

        self.assertRaises(
            exception.LibvirtFailure, self.driver.suspend, spec)

        self.assertIs(instance_spec.PowerState.RUNNING, self.state(spec))
        self.driver.pause(spec)
        self.driver.unpause(spec)

    def test_resize_that_fails_changes_nothing(self) -> None:
        spec = self.running()
        before = self.look_at_host()
        disk = self.instances_path / spec.uuid / 'disk'

        steps = self.fail_each_step(
            lambda progress: self.driver.resize_root_disk(
                spec, 1, progress=progress),
            lambda step: self.assert_host_is(before))

        self.assertEqual(3, steps)
        self.assertEqual(1, self.driver.get_spec(spec).storage.root_gib)
        info = json.loads(subprocess.run(
            ['qemu-img', 'info', '-U', '--output=json', str(disk)],
            capture_output=True, check=True).stdout)
        self.assertEqual(1 << 30, info['virtual-size'])

    def test_resize_that_is_refused_changes_nothing(self) -> None:
        spec = self.running()
        before = self.look_at_host()

        self.assertRaises(exception.InvalidRequest,
                          self.driver.resize_root_disk, spec, 0)

        self.assert_host_is(before)


class FullDiskTest(UndoTestCase):

    def mount(self, folder: pathlib.Path, size_kib: int) -> None:
        """Put a small file system there, for this process and its tools."""
        folder.mkdir(exist_ok=True)
        subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', f'size={size_kib}k,mode=750',
             'tmpfs', str(folder)], check=True)
        self.addCleanup(subprocess.run, ['umount', str(folder)], check=True)

    def test_a_spawn_that_finds_no_room_leaves_nothing(self) -> None:
        spec = self.boot_guest('web', padding=b'x', config_drive=kills.DRIVE)
        # What does not fit: the image, its overlay, the config drive.
        for size_kib in (64, 512, 1100, 1250, 1400):
            self.mount(self.instances_path, size_kib)
            before = self.look_at_host()

            self.assertRaises(
                exception.StorageFailure, self.driver.spawn, spec)

            self.assert_host_is(before)

    def test_a_snapshot_that_finds_no_room_leaves_no_image(self) -> None:
        spec = self.running()
        self.driver.power_off(spec)
        self.mount(self.instances_path / 'snapshots', 64)
        before = self.look_at_host()

        self.assertRaises(
            exception.StorageFailure, self.driver.snapshot, spec,
            str(uuid_module.uuid4()))

        self.assert_host_is(before)
        self.assertEqual(1, len(self.images.ids))


class KilledTest(kills.KillTestCase):
    """The process is killed within a verb; the next one cleans up."""

    def each_recovery(
            self, verb: str, spec: guest_spec.GuestSpec,
            check: Callable[[], object]) -> int:
        step = 0
        for step in self.each_kill(verb, spec):
            self.make_guest_driver()
            self.wait_clean()
            check()
        return step

    def test_spawn_is_undone_by_the_next_process(self) -> None:
        spec = self.guest()
        (self.instances_path / '.operations').mkdir()
        before = self.look_at_host()

        steps = self.each_recovery(
            'spawn', spec, lambda: self.assert_host_is(before))

        self.assertGreater(steps, 8)
        self.wait_console(spec, 'web is up')

    def test_snapshot_is_undone_by_the_next_process(self) -> None:
        spec = self.guest()
        self.assertFalse(self.run_verb('spawn', spec))
        self.wait_console(spec, 'web is up')
        pid = self.host.guest_pid('web')
        before = self.look_at_host()

        steps = self.each_recovery(
            'snapshot', spec, lambda: self.assert_host_is(before))

        self.assertGreater(steps, 4)
        self.assertEqual(pid, self.host.guest_pid('web'))
        self.assertEqual(2, len(self.store.list()))

    def test_snapshot_works_again_in_a_process_that_runs(self) -> None:
        spec = self.guest()
        self.assertFalse(self.run_verb('spawn', spec))
        self.wait_console(spec, 'web is up')
        before = self.look_at_host()
        step = 0
        for step in self.each_kill('snapshot', spec):
            self.driver.snapshot(
                spec, str(uuid_module.uuid4()), name='kept')
            self.wait_clean()
            self.assert_host_is(before)

        self.assertGreater(step, 4)

    def running_guest(self) -> tuple[
            guest_spec.GuestSpec, Callable[[], object]]:
        """Return a guest that runs, and a check that it is as it was."""
        spec = self.guest()
        self.assertFalse(self.run_verb('spawn', spec))
        self.wait_console(spec, 'web is up')
        folder = self.instances_path / spec.uuid
        files = sorted(os.listdir(folder))
        xml = self.driver.get_domain_xml(spec, inactive=True)

        def check() -> None:
            self.assertEqual(files, sorted(os.listdir(folder)))
            self.assertEqual(
                xml, self.driver.get_domain_xml(spec, inactive=True))
            self.assertIs(instance_spec.PowerState.RUNNING, self.state(spec))

        return spec, check

    def test_rescue_is_undone_by_the_next_process(self) -> None:
        spec, check = self.running_guest()

        steps = self.each_recovery('rescue', spec, check)

        self.assertGreater(steps, 6)

    def test_rescue_works_again_in_a_process_that_runs(self) -> None:
        spec, check = self.running_guest()
        step = 0
        for step in self.each_kill('rescue', spec):
            self.driver.rescue(spec, self.image.id, images=self.store)
            self.driver.unrescue(spec)
            self.wait_clean()
            check()

        self.assertGreater(step, 6)

    def test_reboot_is_finished_by_the_next_process(self) -> None:
        spec, check = self.running_guest()

        steps = self.each_recovery('reboot', spec, check)

        self.assertGreater(steps, 4)

    def test_destroy_is_finished_by_the_next_process(self) -> None:
        spec = self.guest()
        (self.instances_path / '.operations').mkdir()
        before = self.look_at_host()
        for step in ('domain', 'files', 'finish'):
            self.assertFalse(self.run_verb('spawn', spec))

            self.assertTrue(self.run_verb('destroy', spec, step))
            self.make_guest_driver()
            self.wait_clean()

            self.assert_host_is(before)

    def test_what_is_left_is_cleaned_when_libvirt_is_back(self) -> None:
        spec = self.guest()
        (self.instances_path / '.operations').mkdir()
        before = self.look_at_host()
        self.assertTrue(self.run_verb('spawn', spec, 9))
        self.driver.cleanup_host('here')
        self.host.kill_daemon()
        self.make_guest_driver()
        self.assertNotEqual([], os.listdir(self.instances_path / spec.uuid))

        self.host.start_daemon()
        self.wait_clean()

        self.assert_host_is(before)
