# SPDX-License-Identifier: Apache-2.0

"""Real guests that write to a file over that of their volume, and merges."""

import dataclasses
import json
import os
import pathlib
import subprocess

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.testing import fake_progress
from nova_libvirt_driver.testing import fake_volumes
from nova_libvirt_driver.xmlmodel import domain as domain_model
from tests.functional import guest_base
from tests.functional import killed
from tests.functional import kills

VOLUME = killed.VOLUMES[0]
KEY = disk_spec.DiskKey(id=VOLUME, serial=VOLUME)
MIB = 1 << 20


class Files:
    """The files of a volume: each has a MiB that the one before lacks."""

    def __init__(self, folder: str) -> None:
        self.folder = pathlib.Path(folder)

    def make(self, *names: str) -> None:
        """Make files, each over the one before."""
        for number, name in enumerate(names):
            over = ['-b', names[number - 1], '-F', 'qcow2'] if number else []
            self._run('qemu-img', 'create', '-q', '-f', 'qcow2', *over, name,
                      '64M')
            self._run('qemu-io', '-f', 'qcow2', '-c',
                      f'write -P {number + 1} {number * MIB} {MIB}', name)

    def over(self, name: str, below: str) -> None:
        """Make an empty file over another, as a volume service does."""
        self._run('qemu-img', 'create', '-q', '-f', 'qcow2', '-u', '-b',
                  below, '-F', 'qcow2', name, '64M')

    def holds(self, name: str, number: int) -> bool:
        """Say whether a file, and what is below it, has a MiB."""
        return not subprocess.run(
            ['qemu-io', '-U', '-r', '-f', 'qcow2', '-c',
             f'read -P {number + 1} {number * MIB} {MIB}', name],
            cwd=self.folder, check=False, capture_output=True).returncode

    def below(self, name: str) -> str:
        """Return the name of the file below one."""
        found = json.loads(self._run(
            'qemu-img', 'info', '-f', 'qcow2', '--output=json', name))
        return str(found.get('backing-filename', ''))

    def disk(self, name: str) -> disk_spec.DiskSpec:
        return disk_spec.DiskSpec(
            target_dev='vdb', id=VOLUME, serial=VOLUME, format='qcow2',
            bus=disk_spec.DiskBus.VIRTIO, cache='writeback',
            source=disk_spec.DiskSource(path=os.fspath(self.folder / name)))

    def _run(self, *line: str) -> bytes:
        return subprocess.run(line, cwd=self.folder, check=True,
                              capture_output=True).stdout


class ChainTestCase(guest_base.GuestTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.files = Files(self.useFixture(fixtures.TempDir()).path)

    def guest_on(self, *names: str) -> guest_spec.GuestSpec:
        """Return a guest that runs with these files, the last on top."""
        self.files.make(*names)
        spec = self.boot_guest('web')
        self.driver.spawn(spec)
        self.driver.attach_disk(spec, self.files.disk(names[-1]))
        return spec

    def chain(self, spec: guest_spec.GuestSpec) -> list[str]:
        return chain(self.driver.get_domain_xml(spec))


class DiskSnapshotsTest(ChainTestCase):

    def test_a_guest_goes_on_with_a_file_over_its_own(self) -> None:
        spec = self.guest_on('base')
        self.files.over('one', 'base')

        self.driver.snapshot_disk(spec, KEY, 'one')

        self.assertEqual(['one', 'base'], self.chain(spec))
        self.assertIn(f'{self.files.folder}/one', self.driver.get_domain_xml(
            spec, inactive=True))
        self.assertTrue(self.files.holds('one', 0))
        self.driver.power_off(spec)
        self.files.over('two', 'one')
        self.driver.snapshot_disk(spec, KEY, 'two')
        self.assertEqual(['two'], self.chain(spec))

    def test_a_start_goes_on_with_the_file_on_top(self) -> None:
        spec = self.guest_on('base')
        before = self.driver.get_spec(spec)
        self.files.over('one', 'base')
        self.driver.snapshot_disk(spec, KEY, 'one')

        # What a service knows that has missed the snapshot.
        error = self.assertRaises(
            exception.WrongState, self.driver.reboot, before,
            guest_spec.RebootType.HARD)

        self.assertIn(f'{self.files.folder}/base', str(error))
        self.assertEqual(['one', 'base'], self.chain(spec))
        for _ in range(2):
            self.driver.power_off(spec)
            self.driver.power_on(self.driver.get_spec(spec))
            self.assertEqual(['one', 'base'], self.chain(spec))

    def test_what_is_no_file_beside_the_volume_is_refused(self) -> None:
        spec = self.guest_on('base')
        for name in ('', '..', '../x', '/etc/passwd', 'a/b'):
            self.assertRaises(
                exception.InvalidRequest, self.driver.snapshot_disk, spec,
                KEY, name)
        self.assertRaises(
            exception.InvalidRequest, self.driver.snapshot_disk, spec,
            disk_spec.DiskKey(id='other', serial='other'), 'one')
        # Libvirt finds that it is not there.
        self.assertRaises(
            exception.DriverError, self.driver.snapshot_disk, spec, KEY,
            'none')
        self.assertRaises(
            exception.AgentUnavailable, self.driver.snapshot_disk, spec, KEY,
            'one', require_quiesce=True)
        self.assertEqual(['base'], self.chain(spec))

    def test_a_file_is_taken_in_by_the_one_below(self) -> None:
        spec = self.guest_on('base', 'one', 'two')
        self.assertFalse(self.files.holds('base', 1))

        self.driver.merge_disk(
            spec, KEY, base_name='base', top_name='one')

        self.assertEqual(['two', 'base'], self.chain(spec))
        self.driver.power_off(spec)
        self.assertTrue(self.files.holds('base', 1))
        self.assertIn(b'backing file: base\n', self.files._run(
            'qemu-img', 'info', '-U', '-f', 'qcow2', 'two'))

    def test_the_file_of_the_guest_takes_in_those_below(self) -> None:
        spec = self.guest_on('base', 'one', 'two')

        self.driver.merge_disk(spec, KEY, base_name='base')
        self.assertEqual(['two', 'base'], self.chain(spec))
        self.assertIn(b'backing file: base\n', self.files._run(
            'qemu-img', 'info', '-U', '-f', 'qcow2', 'two'))
        self.driver.merge_disk(spec, KEY)

        self.assertEqual(['two'], self.chain(spec))
        self.driver.power_off(spec)
        for number in range(3):
            self.assertTrue(self.files.holds('two', number))

    def test_files_that_are_not_there_are_not_merged(self) -> None:
        spec = self.guest_on('base', 'one', 'two')
        for base, top in (('none', ''), ('base', 'none'), ('base', 'two'),
                          ('one', 'base'), ('', 'one'), ('../x', 'one')):
            self.assertRaises(
                exception.InvalidRequest, self.driver.merge_disk, spec, KEY,
                base_name=base, top_name=top)

    def test_files_of_a_stopped_guest_are_merged(self) -> None:
        spec = self.guest_on('base', 'one', 'two', 'three')
        self.driver.power_off(spec)
        for base, top in (('none', ''), ('base', 'three'), ('one', 'base'),
                          ('', 'one')):
            self.assertRaises(
                exception.InvalidRequest, self.driver.merge_disk, spec, KEY,
                base_name=base, top_name=top)

        self.driver.merge_disk(spec, KEY, base_name='base', top_name='one')

        self.assertEqual('base', self.files.below('two'))
        self.assertTrue(self.files.holds('base', 1))
        # The volume service may not have heard of it.
        self.driver.merge_disk(spec, KEY, base_name='base', top_name='one')
        self.driver.merge_disk(spec, KEY, base_name='base')
        self.assertEqual('base', self.files.below('three'))
        self.driver.merge_disk(spec, KEY)
        self.assertEqual('', self.files.below('three'))
        for number in range(4):
            self.assertTrue(self.files.holds('three', number))
        self.host.virsh('start', spec.name)
        self.assertEqual(['three'], self.chain(spec))

    def test_what_a_guest_wrote_to_a_raw_file_names_no_files(self) -> None:
        self.files.make('base', 'one')
        spec = self.boot_guest('web')
        self.driver.spawn(spec)
        self.driver.attach_disk(spec, dataclasses.replace(
            self.files.disk('one'), format='raw'))
        self.driver.power_off(spec)

        self.assertRaises(
            exception.InvalidRequest, self.driver.merge_disk, spec, KEY)

        self.assertEqual('base', self.files.below('one'))

    def test_files_of_a_suspended_guest_are_not_merged(self) -> None:
        spec = self.guest_on('base', 'one')
        self.driver.suspend(spec)

        self.assertRaises(
            exception.WrongState, self.driver.merge_disk, spec, KEY)

        self.driver.resume(spec)
        self.assertEqual(['one', 'base'], self.chain(spec))

    def test_a_merge_while_stopped_that_fails_keeps_all(self) -> None:
        spec = self.guest_on('base', 'one', 'two')
        self.driver.power_off(spec)
        for base, top in (('base', 'one'), ('base', ''), ('', '')):
            number = 1
            while number < 9:
                try:
                    self.driver.merge_disk(
                        spec, KEY, base_name=base, top_name=top,
                        progress=fake_progress.FailingProgress(number))
                    break
                except fake_progress.Stopped:
                    number += 1
                self.assertTrue(all(
                    self.files.holds('two', place) for place in range(3)))
            self.assertLess(2, number)

    def test_each_step_that_fails_leaves_all_as_it_was(self) -> None:
        spec = self.guest_on('base', 'one')
        self.files.over('two', 'one')
        for verb, before, after in (
                ('snapshot_disk', ['one', 'base'], ['two', 'one', 'base']),
                ('merge_disk', ['two', 'one', 'base'], ['two', 'base'])):
            number = 1
            while self.fails(verb, spec, number):
                self.assertEqual(before, self.chain(spec))
                self.assertEqual([], list(
                    self.instances_path.glob('.operations/*')))
                number += 1
            self.assertEqual(3, number)
            self.assertEqual(after, self.chain(spec))

    def fails(
            self, verb: str, spec: guest_spec.GuestSpec, number: int) -> bool:
        """Let a step of a verb fail; say whether there was one."""
        try:
            killed.run_hot(
                self.driver, verb, spec, fake_volumes.FakeConnector(
                    os.fspath(self.files.folder)),
                fake_progress.FailingProgress(number))
        except fake_progress.Stopped:
            return True
        return False


class KilledTest(kills.KillTestCase):

    def setUp(self) -> None:
        self.files = Files(self.useFixture(fixtures.TempDir()).path)
        super().setUp()
        self.image_source = self.store
        self.driver = self.make_guest_driver()
        self.spec = self.guest()

    def test_the_guest_has_one_file_or_the_other(self) -> None:
        self.files.make('base', 'one')
        self.files.over('two', 'one')
        self.driver.spawn(self.spec)
        self.driver.attach_disk(self.spec, self.files.disk('one'))

        for verb, before, after in (
                ('snapshot_disk', ['one', 'base'], ['two', 'one', 'base']),
                ('merge_disk', ['two', 'one', 'base'], ['two', 'base'])):
            step = 1
            while self.run_verb(verb, self.spec, step,
                                volumes=os.fspath(self.files.folder)):
                self.driver = self.make_guest_driver()
                self.wait_clean()
                self.assertEqual(before, chain(
                    self.driver.get_domain_xml(self.spec)))
                step += 1
            self.assertEqual(3, step)
            self.assertEqual(after, chain(
                self.driver.get_domain_xml(self.spec)))

    def test_files_of_a_stopped_guest_hold_all(self) -> None:
        self.files.make('base', 'one', 'two')
        self.driver.spawn(self.spec)
        self.driver.attach_disk(self.spec, self.files.disk('two'))
        self.driver.power_off(self.spec)

        step = 1
        while self.run_verb('merge_disk', self.spec, step,
                            volumes=os.fspath(self.files.folder)):
            self.driver = self.make_guest_driver()
            self.wait_clean()
            self.assertTrue(all(
                self.files.holds('two', number) for number in range(3)))
            step += 1
        self.assertLessEqual(3, step)
        self.assertEqual('base', self.files.below('two'))


def chain(xml: str) -> list[str]:
    """Return the names of the files of a guest's volume, the top one first."""
    disk, = (one for one in domain_model.Domain.parse(xml).devices.disks
             if one.target_dev == 'vdb')
    return [os.path.basename(path) for path in (
        disk.source_file or '', *disk.backing_files())]
