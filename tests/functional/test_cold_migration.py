# SPDX-License-Identifier: Apache-2.0

"""Resize and cold migration on real hosts, whole, failed and killed."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import threading
from typing import Any

import fixtures

from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import libvirtd
from nova_libvirt_driver.xmlmodel import domain as domain_model
from tests.functional import kills
from tests import other_host

RUNNING = instance_spec.PowerState.RUNNING
SHUTDOWN = instance_spec.PowerState.SHUTDOWN
GIB = 1 << 30


def larger(spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
    """Return a guest with another flavor."""
    return dataclasses.replace(
        spec,
        memory=dataclasses.replace(spec.memory, size_mib=96),
        storage=dataclasses.replace(
            spec.storage, root_gib=2,
            ephemerals=(disk_spec.LocalDisk(size_mib=8),),
            swap=disk_spec.LocalDisk(size_mib=4)))


class MigrationTestCase(kills.KillTestCase):

    def running(self, **fields: Any) -> guest_spec.GuestSpec:
        """Return a guest that has said all it has to say."""
        spec = self.boot_guest('web', config_drive=kills.DRIVE, **fields)
        self.driver.spawn(spec)
        self.wait_console(spec, 'web is up')
        return spec

    def place(
            self, spec: guest_spec.GuestSpec, suffix: str = ''
    ) -> pathlib.Path:
        return self.instances_path / f'{spec.uuid}{suffix}'

    def files(self) -> list[str]:
        """Return the files of all instances."""
        return sorted(
            str(path) for path in self.instances_path.rglob('*')
            if not {'_base', '.operations'} & set(path.parts))

    def root_bytes(self, spec: guest_spec.GuestSpec) -> int:
        size: int = json.loads(subprocess.run(
            ['qemu-img', 'info', '-U', '--output=json',
             str(self.place(spec) / 'disk')],
            capture_output=True, check=True).stdout)['virtual-size']
        return size


class ResizeTest(MigrationTestCase):
    """The guest stays on its host."""

    def test_a_guest_gets_its_new_flavor_and_keeps_its_disks(self) -> None:
        spec = self.running()
        drive = (self.place(spec) / 'disk.config').read_bytes()
        before = self.driver.get_domain_xml(spec, inactive=True)

        found = self.driver.migrate_disk_and_power_off(spec)
        self.assertEqual(
            [str(self.place(spec) / 'disk')], [one.path for one in found])
        self.assertIs(SHUTDOWN, self.state(spec))
        self.driver.finish_migration(larger(spec))

        self.wait_console(spec, 'web is up')
        self.assertEqual(2 * GIB, self.root_bytes(spec))
        self.assertEqual(
            drive, (self.place(spec) / 'disk.config').read_bytes())
        self.assertEqual(
            {'disk', 'disk.config', 'disk.eph0', 'disk.info', 'disk.swap',
             'guest.json', 'console.log'},
            {path.name for path in self.place(spec).iterdir()
             if path.name[0] != '.'})
        xml = self.driver.get_domain_xml(spec, inactive=True)
        self.assertIn('>98304</memory>', xml)
        for kept in ('<uuid>', '<mac ', "machine='"):
            self.assertEqual(
                [line for line in before.splitlines() if kept in line],
                [line for line in xml.splitlines() if kept in line])

        self.driver.confirm_migration(spec, is_here=True)

        self.assertFalse(self.place(spec, '_resize').exists())
        self.assertIs(RUNNING, self.state(spec))

    def test_a_reverted_guest_is_as_it_was(self) -> None:
        spec = self.running(root_gib=1)
        before, xml = self.files(), self.driver.get_domain_xml(
            spec, inactive=True)
        self.driver.migrate_disk_and_power_off(spec)
        self.driver.finish_migration(larger(spec))
        self.driver.destroy(spec, destroy_disks=False)

        self.driver.finish_revert_migration(spec)

        self.wait_console(spec, 'web is up')
        self.assertEqual(before, self.files())
        self.assertEqual(xml, self.driver.get_domain_xml(
            spec, inactive=True))
        self.assertEqual(GIB, self.root_bytes(spec))

    def test_a_stopped_guest_stays_stopped(self) -> None:
        spec = self.running()
        self.driver.power_off(spec)
        self.driver.migrate_disk_and_power_off(spec)
        self.driver.finish_migration(larger(spec), power_on=False)
        self.assertIs(SHUTDOWN, self.state(spec))

        self.driver.destroy(spec, destroy_disks=False)
        self.driver.finish_revert_migration(spec, power_on=False)

        self.assertIs(SHUTDOWN, self.state(spec))
        self.driver.power_on(spec)
        self.wait_console(spec, 'web is up')

    def test_what_would_lose_memory_or_disks_is_refused(self) -> None:
        spec = self.running()
        self.driver.suspend(spec)
        before = self.look_at_host()
        self.assertRaises(exception.WrongState,
                          self.driver.migrate_disk_and_power_off, spec)
        self.assert_host_is(before)
        self.driver.resume(spec)
        self.driver.rescue(spec, spec.storage.image_id)

        self.assertRaises(exception.WrongState,
                          self.driver.migrate_disk_and_power_off, spec)

        self.assertIs(RUNNING, self.state(spec))

    def test_no_disk_becomes_smaller(self) -> None:
        spec = self.running(root_gib=2)
        self.driver.migrate_disk_and_power_off(spec)

        self.driver.finish_migration(dataclasses.replace(
            spec, storage=dataclasses.replace(spec.storage, root_gib=1)))

        self.assertEqual(2 * GIB, self.root_bytes(spec))
        self.wait_console(spec, 'web is up')

    def test_a_departure_that_fails_changes_nothing(self) -> None:
        spec = self.running()
        self.driver.power_off(spec)
        before, xml = self.look_at_host(), self.driver.get_domain_xml(spec)

        def check(step: str) -> None:
            self.assert_host_is(before)
            self.assertEqual(xml, self.driver.get_domain_xml(spec))

        steps = self.fail_each_step(
            lambda progress: self.driver.migrate_disk_and_power_off(
                spec, progress=progress), check)

        self.assertGreater(steps, 4)

    def test_an_arrival_that_fails_may_be_repeated(self) -> None:
        spec = self.running()
        self.driver.migrate_disk_and_power_off(spec)
        outside = fake_attachment.FakeAttachment(
            str(self.host.directory / 'port'))

        def check(step: str) -> None:
            self.assertFalse(outside.is_connected)
            self.assertIs(SHUTDOWN, self.state(spec))

        steps = self.fail_each_step(
            lambda progress: self.driver.finish_migration(
                larger(spec), progress=progress, attachments=[outside]),
            check)

        self.assertGreater(steps, 5)
        self.assertTrue(outside.is_connected)
        self.wait_console(spec, 'web is up')

    def test_a_revert_that_fails_may_be_repeated(self) -> None:
        spec = self.running()
        before = self.files()
        self.driver.migrate_disk_and_power_off(spec)

        steps = self.fail_each_step(
            lambda progress: self.driver.finish_revert_migration(
                spec, progress=progress), lambda step: None)

        self.assertGreater(steps, 3)
        self.wait_console(spec, 'web is up')
        self.assertEqual(before, self.files())


class KilledTest(MigrationTestCase):
    """The process is killed within a verb; the next one cleans up."""

    def test_a_departure_is_undone(self) -> None:
        spec = self.running()
        self.driver.power_off(spec)
        before, xml = self.look_at_host(), self.driver.get_domain_xml(spec)
        steps = 0
        for steps in self.each_kill('migrate_disk_and_power_off', spec):
            self.make_guest_driver()
            self.wait_clean()
            self.assert_host_is(before)
            self.assertEqual(xml, self.driver.get_domain_xml(spec))

        self.assertGreater(steps, 4)
        self.assertTrue(self.place(spec, '_resize').exists())

    def test_an_arrival_may_be_repeated(self) -> None:
        spec = self.running()
        self.driver.migrate_disk_and_power_off(spec)
        steps = 0
        for steps in self.each_kill('finish_migration', larger(spec)):
            self.make_guest_driver()
            self.wait_clean()

        self.assertGreater(steps, 4)
        self.wait_console(spec, 'web is up')
        self.assertEqual(2 * GIB, self.root_bytes(spec))

    def test_a_revert_may_be_repeated(self) -> None:
        spec = self.running()
        before = self.files()
        self.driver.migrate_disk_and_power_off(spec)
        steps = 0
        for steps in self.each_kill('finish_revert_migration', spec):
            self.make_guest_driver()
            self.wait_clean()

        self.assertGreater(steps, 3)
        self.wait_console(spec, 'web is up')
        self.assertEqual(before, self.files())


class TwoHostsTest(MigrationTestCase):
    """The guest goes to another host."""

    def setUp(self) -> None:
        super().setUp()
        self.there = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def carrier(self, *, is_shared: bool = False) -> other_host.OtherHost:
        return other_host.OtherHost(self.there, is_shared=is_shared)

    def test_its_files_go_and_nothing_can_start_here(self) -> None:
        spec = self.running(root_gib=1)
        self.driver.migrate_disk_and_power_off(
            spec, carrier=self.carrier(), images=self.images,
            image_id=spec.storage.image_id)

        there = self.there / str(self.place(spec)).lstrip('/')
        self.assertEqual(
            {'disk', 'disk.config', 'disk.info', 'guest.json',
             'console.log'},
            {path.name for path in there.iterdir()})
        for name in ('disk', 'disk.config', 'disk.info'):
            self.assertEqual(
                (self.place(spec, '_resize') / name).read_bytes(),
                (there / name).read_bytes())
        self.assertFalse(self.place(spec).exists())
        self.assertFalse(self.driver.instance_exists(spec))
        self.assertRaises(
            exception.InstanceNotFound, self.driver.power_on,
            instance_spec.InstanceRef(spec.uuid, spec.name))

        self.driver.confirm_migration(spec, is_here=False)

        self.assertFalse(self.place(spec, '_resize').exists())

    def test_what_firmware_remembers_goes_along_and_comes_back(
            self) -> None:
        spec = self.boot_guest('web', boot=boot_spec.BootSpec(
            firmware=boot_spec.Firmware.UEFI))
        self.driver.spawn(spec)
        carrier, kept = self.carrier(), self.place(spec, '_resize') / 'nvram'
        # As the daemon has it, which has folders of its own.
        nvram = self.host.directory / 'lib/qemu/nvram/web_VARS.fd'

        def collect(xml: str, folder: str) -> None:
            found = domain_model.Domain.parse(xml).os.nvram or ''
            self.assertEqual(nvram.name, pathlib.Path(found).name)
            shutil.move(nvram, pathlib.Path(folder) / 'nvram')

        carrier.collect = collect  # type: ignore[method-assign]
        self.driver.migrate_disk_and_power_off(spec, carrier=carrier)

        self.assertFalse(nvram.exists())
        self.assertEqual(kept.read_bytes(), (self.there / str(
            self.place(spec) / 'nvram').lstrip('/')).read_bytes())
        number = kept.stat().st_ino

        self.driver.finish_revert_migration(spec, attachments=[
            fake_attachment.FakeAttachment(
                str(self.there / 'link'), lambda point:
                point == 'connect' and shutil.move(
                    self.place(spec) / 'nvram', nvram))])

        self.assertIs(RUNNING, self.state(spec))
        self.assertEqual(number, nvram.stat().st_ino)

    def test_a_deletion_ends_a_copy_that_goes_on(self) -> None:
        spec = self.running()
        carrier, copying = self.carrier(), threading.Event()

        def copy(source: str, target: str, watch: Any) -> None:
            copying.set()
            fake_ports.wait_until(watch, 'the end of the copying')

        carrier.copy = copy  # type: ignore[method-assign]

        def leave() -> None:
            self.assertRaises(
                exception.GaveWay, self.driver.migrate_disk_and_power_off,
                spec, carrier=carrier)

        def delete() -> None:
            copying.wait(60)
            self.driver.destroy(spec)

        fake_ports.run_threads([leave, delete])

        self.assertFalse(self.driver.instance_exists(spec))
        self.assertEqual([], self.files())
        self.assertEqual([], [
            path for path in self.there.rglob('*') if path.is_file()])

    def test_an_image_that_is_gone_goes_along(self) -> None:
        spec = self.running(root_gib=1)

        self.driver.migrate_disk_and_power_off(
            spec, carrier=self.carrier(), images=ports.NullImages(),
            image_id=spec.storage.image_id)

        there = self.there / str(self.place(spec) / 'disk').lstrip('/')
        found = json.loads(subprocess.run(
            ['qemu-img', 'info', '--output=json', str(there)],
            capture_output=True, check=True).stdout)
        self.assertEqual(('qcow2', GIB, None), (
            found['format'], found['virtual-size'],
            found.get('backing-filename')))
        self.assertEqual([], list(self.instances_path.rglob('*.flat')))

    def test_it_comes_back_as_it_was(self) -> None:
        spec = self.running()
        before, xml = self.files(), self.driver.get_domain_xml(
            spec, inactive=True)
        self.driver.migrate_disk_and_power_off(spec, carrier=self.carrier())

        self.driver.finish_revert_migration(spec)

        self.wait_console(spec, 'web is up')
        self.assertEqual(before, self.files())
        self.assertEqual(
            xml, self.driver.get_domain_xml(spec, inactive=True))

    def test_a_departure_that_fails_changes_nothing(self) -> None:
        spec = self.running()
        self.driver.power_off(spec)
        before, xml = self.look_at_host(), self.driver.get_domain_xml(spec)

        def check(step: str) -> None:
            self.assert_host_is(before)
            self.assertEqual(xml, self.driver.get_domain_xml(spec))
            self.assertEqual([], [
                path for path in self.there.rglob('*') if path.is_file()])

        steps = self.fail_each_step(
            lambda progress: self.driver.migrate_disk_and_power_off(
                spec, carrier=self.carrier(), progress=progress), check)

        self.assertGreater(steps, 6)

    def test_storage_that_both_hosts_have(self) -> None:
        spec = self.running()
        before = self.files()
        other = self.other_host()
        self.driver.migrate_disk_and_power_off(
            spec, carrier=self.carrier(is_shared=True))
        self.assertTrue((self.place(spec) / 'disk').exists())

        other.finish_migration(larger(spec), images=self.images)

        self.wait_up(other, spec)
        self.assertFalse(self.driver.instance_exists(spec))
        other.destroy(spec, destroy_disks=False)
        self.driver.finish_revert_migration(spec)
        self.wait_console(spec, 'web is up')
        self.assertEqual(before, self.files())

    def test_a_guest_that_runs_where_it_left_is_not_removed(self) -> None:
        spec = self.running()

        self.assertRaises(
            exception.WrongState, self.driver.confirm_migration, spec,
            is_here=False)

        self.assertIs(RUNNING, self.state(spec))
        self.driver.cleanup_host('here')

    def other_host(self) -> driver_module.LibvirtDriver:
        host = libvirtd.PrivateHost('other')
        host.__enter__()
        self.addCleanup(host.__exit__, None, None, None)
        self.config.config(host='other')
        return self.make_guest_driver(uri=host.uri)

    def wait_up(
            self, driver: driver_module.LibvirtDriver,
            spec: guest_spec.GuestSpec) -> None:
        self.assertIn(driver.get_info(spec, use_cache=False).state, reach.UP)
        self.assertEqual(2 * GIB, self.root_bytes(spec))
        self.assertTrue(os.path.exists(self.place(spec) / 'disk.swap'))
