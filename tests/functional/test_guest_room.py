# SPDX-License-Identifier: Apache-2.0

"""Guests on a disk that has no room left, in every place where it counts."""

from collections.abc import Callable
import pathlib
import shutil
import subprocess
import tempfile
from typing import ClassVar

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from tests.functional import guest_base

SNAPSHOT_ID = '5f0c1f0e-6d1f-4a39-9f0c-0f3d5a9d7b11'
DRIVE = configdrive_spec.ConfigDriveSpec(user_data='hello')
KIB = 1 << 10


class FullDiskTest(guest_base.GuestTestCase):
    """The folder of the instances is a small file system of its own.

    A file takes all of its room but for a part that grows with every
    attempt, until the verb finds enough.
    """

    mount: ClassVar[pathlib.Path]

    @classmethod
    def setUpClass(cls) -> None:
        # Before the private host begins: it sees what is mounted then.
        cls.mount = pathlib.Path(tempfile.mkdtemp())
        subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', 'size=8m', 'tmpfs',
             str(cls.mount)], check=True)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        subprocess.run(['umount', str(cls.mount)], check=True)
        cls.mount.rmdir()

    def setUp(self) -> None:
        super().setUp()
        self.ballast = self.mount / 'ballast'
        self.ballast.touch()
        self.addCleanup(self.ballast.unlink)
        self.instances_path = self.mount / 'instances'
        self.instances_path.mkdir()
        self.addCleanup(shutil.rmtree, self.instances_path)
        self.driver = self.make_guest_driver()

    def leave_room(self, size_bytes: int) -> None:
        """Leave so many bytes."""
        self.ballast.unlink()
        subprocess.run(
            ['dd', 'if=/dev/zero', f'of={self.ballast}', 'bs=4k'],
            check=False, capture_output=True)
        with self.ballast.open('r+b') as file:
            file.truncate(max(1, file.seek(0, 2) - size_bytes))

    def each_room(
            self, verb: Callable[[], object], step_bytes: int) -> int:
        """Try a verb with ever more room; return how often it failed."""
        failures = 0
        while True:
            self.leave_room(failures * step_bytes)
            before = self.look_at_host()
            try:
                verb()
            except exception.StorageFailure as error:
                self.assertRegex(str(error), '(?i)room|space')
                self.assert_host_is(before)
                failures += 1
                continue
            return failures

    def check_spawn(self) -> guest_spec.GuestSpec:
        spec = self.boot_guest('web', config_drive=DRIVE)

        failures = self.each_room(
            lambda: self.driver.spawn(spec), 96 * KIB)

        self.assertGreater(failures, 5)
        self.wait_console(spec, 'web is up')
        return spec

    def test_guest_is_destroyed_without_any_room(self) -> None:
        before = self.look_at_host()
        spec = self.boot_guest('web', config_drive=DRIVE)
        self.driver.spawn(spec)
        self.leave_room(0)

        self.driver.destroy(spec)

        self.assert_host_is(before)

    def test_overlays(self) -> None:
        self.check_spawn()

    def test_raw_disks(self) -> None:
        self.driver = self.make_guest_driver(libvirt={'images_type': 'raw'})

        self.check_spawn()

    def test_small_files_of_a_spawn(self) -> None:
        spec = self.boot_guest('web', config_drive=DRIVE)
        self.driver.cache_image(spec.storage.image_id)

        failures = self.each_room(lambda: self.driver.spawn(spec), 12 * KIB)

        self.assertGreater(failures, 5)

    def test_snapshot_of_a_running_guest(self) -> None:
        spec = self.check_spawn()
        pid = self.host.guest_pid('web')

        failures = self.each_room(
            lambda: self.driver.snapshot(spec, SNAPSHOT_ID), 64 * KIB)

        self.assertGreater(failures, 2)
        self.assertIs(instance_spec.PowerState.RUNNING, self.state(spec))
        self.assertEqual(pid, self.host.guest_pid('web'))

    def test_snapshot_of_a_stopped_guest(self) -> None:
        spec = self.check_spawn()
        self.driver.power_off(spec)

        failures = self.each_room(
            lambda: self.driver.snapshot(spec, SNAPSHOT_ID), 16 * KIB)

        self.assertGreater(failures, 2)

    def test_rescue_of_a_running_guest(self) -> None:
        spec = self.check_spawn()

        failures = self.each_room(
            lambda: self.driver.rescue(spec, spec.storage.image_id),
            32 * KIB)

        self.assertGreater(failures, 5)
        self.driver.unrescue(spec)
        self.wait_console(spec, 'web is up')
