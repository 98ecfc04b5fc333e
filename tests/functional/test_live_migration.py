# SPDX-License-Identifier: Apache-2.0

"""Guests that go from one real host to another while they run."""

from collections.abc import Callable
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
from typing import Any
import uuid as uuid_module

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import libvirtd
from nova_libvirt_driver.testing import linux_disk
from nova_libvirt_driver.testing import linux_guest
from nova_libvirt_driver.testing import specs
from tests.functional import kills
from tests.functional import pair

State = instance_spec.PowerState
MIB = 1 << 20
NIC = nic_spec.NicSpec(
    mac='52:54:00:12:34:56', kind=nic_spec.NicKind.BRIDGE, source='told')
SLOW = {'live_migration_bandwidth': 1}
"""For a disk of some MiB that is not empty: it takes as many seconds."""

_LISTEN = """
import socket, sys
packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x3580)
packets.bind((sys.argv[1], 0x8035))
print('ready', flush=True)
while True:
    print(packets.recv(99)[6:12].hex(':'), flush=True)
"""


class LiveMigrationTestCase(pair.PairTestCase):

    def running(
            self, size_mib: int = 1, **fields: Any) -> guest_spec.GuestSpec:
        """Return a guest on the first host that counts on its console.

        :param size_mib: of its disk, which is written in full
        """
        path = self.root / 'image'
        path.write_bytes(guests.counting_sector().ljust(MIB, b'\0'))
        image = self.images.add(str(path), name=f'count {uuid_module.uuid4()}')
        spec = specs.guest_spec('web', image.id, **fields)
        self.source.driver.spawn(
            spec, attachments=self.attachments(self.source))
        self.count(self.source, spec, above=1)
        if size_mib > 1:
            self.write(spec, size_mib)
        return spec

    def write(self, spec: guest_spec.GuestSpec, size_mib: int) -> None:
        """Have a running guest write to its disk, as from within."""
        folder = self.source.instances_path / spec.uuid
        self.source.driver.power_off(spec)
        subprocess.run(
            ['qemu-img', 'resize', '-q', str(folder / 'disk'),
             f'{size_mib}M'], check=True)
        subprocess.run(
            ['qemu-io', '-c', f'write -P 7 1M {size_mib - 1}M',
             str(folder / 'disk')], check=True, capture_output=True)
        self.source.driver.power_on(
            spec, attachments=self.attachments(self.source))
        self.count(self.source, spec, above=1)

    def count(
            self, side: pair.Side, spec: guest_spec.GuestSpec, *,
            above: int) -> int:
        """Wait until a guest has counted further; return how far."""
        def last() -> int:
            try:
                text = side.driver.get_console_output(spec).decode()
            except exception.DriverError:
                return 0
            found = re.findall(r'^(\d{8})\r?\n', text, re.M)
            return int(found[-1]) if found else 0

        fake_ports.wait_until(
            lambda: last() > above, f'a count above {above}', timeout_s=180)
        return last()

    def destination(self, side: pair.Side) -> migration_spec.Destination:
        return migration_spec.Destination(
            uri=side.host.uri, migrate_uri=f'tcp://{side.address}',
            instances_path=str(side.instances_path),
            is_shared=self.is_shared)

    def disks(
            self, side: pair.Side, spec: guest_spec.GuestSpec
    ) -> list[migration_spec.MovedDisk] | None:
        """Return the disks that another host has to make."""
        return None if self.is_shared else [
            migration_spec.MovedDisk(
                name=pathlib.Path(use.path).name, format=use.format,
                size_bytes=use.size_bytes,
                base=pathlib.Path(use.backing_file or '').name)
            for use in side.driver.get_instance_disk_info(spec)]

    def prepare(
            self, spec: guest_spec.GuestSpec, source: pair.Side,
            target: pair.Side,
            progress: ports.Progress = ports.NullProgress(),
    ) -> guest_spec.GuestSpec:
        return target.driver.pre_live_migration(
            spec, disks=self.disks(source, spec),
            attachments=self.attachments(target), progress=progress)

    def go(
            self, there: guest_spec.GuestSpec, source: pair.Side,
            target: pair.Side,
            progress: ports.Progress = ports.NullProgress(),
            **fields: Any) -> None:
        source.driver.live_migration(
            there, dataclasses.replace(
                self.destination(target), image_id=there.storage.image_id),
            attachments=self.attachments(source), progress=progress, **fields)

    def roll_back(self, spec: guest_spec.GuestSpec) -> None:
        self.target.driver.rollback_live_migration_at_destination(
            spec, attachments=self.attachments(self.target))

    def finish(
            self, there: guest_spec.GuestSpec, source: pair.Side,
            target: pair.Side) -> None:
        source.driver.post_live_migration(there)
        source.driver.post_live_migration_at_source(
            there, attachments=self.attachments(source))
        target.driver.post_live_migration_at_destination(there)

    def move(
            self, spec: guest_spec.GuestSpec, source: pair.Side,
            target: pair.Side) -> None:
        """Move a guest as a compute service would."""
        there = self.prepare(spec, source, target)
        self.go(there, source, target)
        self.finish(there, source, target)

    def assert_only_at(
            self, side: pair.Side, spec: guest_spec.GuestSpec) -> None:
        """Fail unless the guest, and all of it, is on one host."""
        other = self.target if side is self.source else self.source
        self.assertIs(State.RUNNING, side.state(spec))
        self.assertIsNone(other.state(spec))
        self.assertIsNone(other.host.guest_pid(spec.name))
        self.assertEqual(([], []), (side.notes(), other.notes()))
        self.assertTrue(self.attachments(side)[0].is_connected)
        self.assertFalse(self.attachments(other)[0].is_connected)
        if not self.is_shared:
            self.assertEqual([], other.files())

    def wait_clean(self, side: pair.Side) -> None:
        fake_ports.wait_until(
            lambda: not side.notes(), 'an empty journal', timeout_s=180)

    def in_background(
            self, function: Callable[[], object]
    ) -> tuple[threading.Thread, list[Exception]]:
        """Call a function on another thread; return what it raises."""
        raised: list[Exception] = []

        def run() -> None:
            try:
                function()
            except Exception as error:
                raised.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        return thread, raised

    def moving(self) -> tuple[
            guest_spec.GuestSpec, threading.Thread, list[Exception]]:
        """Return a guest that moves slowly, and how its migration ends."""
        self.connect(self.source, **SLOW)
        spec = self.running(20)
        there = self.prepare(spec, self.source, self.target)
        thread, raised = self.in_background(
            lambda: self.go(there, self.source, self.target))
        self.wait_moving(spec)
        return spec, thread, raised

    def wait_moving(self, spec: guest_spec.GuestSpec) -> None:
        """Wait until both hosts are at work on the move of a guest."""
        def is_moving() -> bool:
            # The source begins before the other host has a domain, and
            # libvirt tells of the job on the source only.
            with contextlib.suppress(libvirtd.HostError):
                return 'Unbounded' in self.source.host.virsh(
                    'domjobinfo', spec.name) and 'paused' in (
                    self.target.host.virsh('domstate', spec.name))
            return False

        fake_ports.wait_until(is_moving, 'a migration', timeout_s=180)

    def child(
            self, verb: str, spec: guest_spec.GuestSpec, side: pair.Side,
            step: str = '', libvirt: dict[str, int] | None = None,
    ) -> subprocess.Popen[str]:
        """Begin a verb in another process.

        :param step: at which it kills itself
        """
        process = subprocess.Popen(
            [sys.executable, '-m', 'tests.functional.moved'], cwd=kills.ROOT,
            stdin=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        assert process.stdin is not None
        process.stdin.write(json.dumps({
            'verb': verb, 'step': step, 'images': self.image_folder,
            'host': side.host.name, 'spec': spec_record.dumps(spec),
            'instances_path': str(side.instances_path),
            'attachments': [str(self.root / f'port-{side.host.name}')],
            'disks': [dataclasses.asdict(disk) for disk in self.disks(
                self.source, spec) or ()],
            'destination': dataclasses.asdict(dataclasses.replace(
                self.destination(self.target),
                image_id=spec.storage.image_id)),
            'libvirt': {'connection_uri': side.host.uri, 'virt_type': 'qemu',
                        'tb_cache_size': 32, **(libvirt or {})}}))
        process.stdin.close()
        process.stdin = None
        return process

    def assert_refused(self, spec: guest_spec.GuestSpec) -> None:
        """Fail unless the first host starts no other copy of a guest."""
        driver = self.source.driver
        for verb in (driver.power_on, driver.resume_state_on_host_boot,
                     driver.spawn, functools.partial(
                         driver.reboot,
                         reboot_type=guest_spec.RebootType.HARD),
                     functools.partial(
                         driver.rescue, image_id=spec.storage.image_id)):
            error = self.assertRaises(exception.WrongState, verb, spec)
            self.assertIn(self.target.host.uri, str(error))
        self.assertEqual('', self.source.host.virsh(
            'list', '--all', '--name').strip())
        self.assertIs(State.RUNNING, self.target.state(spec))

    def killed_at(
            self, verb: str, spec: guest_spec.GuestSpec, side: pair.Side,
            step: str) -> None:
        process = self.child(verb, spec, side, step)
        self.assertEqual(-signal.SIGKILL, process.wait(180))


class BlockMigrationTest(LiveMigrationTestCase):
    """The hosts have nothing in common."""

    def test_a_guest_counts_on_on_the_other_host_and_comes_back(self) -> None:
        spec = self.running(4, consoles=console_spec.ConsoleSpec(
            serials=(console_spec.SerialSpec(),
                     console_spec.SerialSpec(
                         kind=console_spec.SerialKind.TCP))))
        before = self.count(self.source, spec, above=10)

        self.move(spec, self.source, self.target)

        self.assert_only_at(self.target, spec)
        self.count(self.target, spec, above=before)
        self.assertEqual(self.defined(self.target, spec),
                         self.defined(self.target, spec, live=True))
        self.target.driver.power_off(spec)
        self.target.driver.power_on(spec)
        self.count(self.target, spec, above=1)
        self.assertEqual(b'\7' * MIB, self.bytes_of(self.target, spec, MIB))

        self.move(spec, self.target, self.source)
        self.assert_only_at(self.source, spec)

    def defined(
            self, side: pair.Side, spec: guest_spec.GuestSpec, *,
            live: bool = False) -> list[str]:
        """Return what of a guest's domain depends on its host."""
        xml = side.driver.get_domain_xml(spec, inactive=not live)
        found = sorted(set(re.findall(
            r"<source (?:file|dev|mode|host)[^>]*|<log file='[^']*'", xml)))
        self.assertEqual([], [line for line in found
                              if 'instances-' in line and str(
                                  side.instances_path) not in line])
        return [re.sub(" (index='1'|tls='no')", '', line) for line in found
                if '_base' not in line]

    def bytes_of(
            self, side: pair.Side, spec: guest_spec.GuestSpec,
            offset: int) -> bytes:
        side.driver.power_off(spec)
        raw = self.root / 'raw'
        subprocess.run(
            ['qemu-img', 'convert', '-O', 'raw',
             str(side.instances_path / spec.uuid / 'disk'), str(raw)],
            check=True)
        side.driver.power_on(spec)
        with open(raw, 'rb') as file:
            file.seek(offset)
            return file.read(MIB)

    def test_an_aborted_guest_counts_on_where_it_was(self) -> None:
        spec, thread, raised = self.moving()

        self.source.driver.live_migration_abort(spec)

        thread.join()
        self.assertIsInstance(raised[0], exception.MigrationCancelled)
        self.roll_back(spec)
        self.assert_only_at(self.source, spec)
        self.count(self.source, spec, above=self.count(
            self.source, spec, above=0))
        self.assertRaises(exception.WrongState,
                          self.source.driver.live_migration_abort, spec)

    def test_what_takes_too_long_is_aborted(self) -> None:
        self.connect(
            self.source, live_migration_completion_timeout=1, **SLOW)
        spec = self.running(20)
        figures: list[migration_spec.Figures] = []
        there = self.prepare(spec, self.source, self.target)

        self.assertRaises(
            exception.MigrationCancelled, self.go, there, self.source,
            self.target, report=figures.append)

        self.assertGreaterEqual(figures[-1].disk_total, 19 * MIB)
        self.roll_back(spec)
        self.assert_only_at(self.source, spec)

    def test_a_guest_that_was_paused_to_be_done_runs_on(self) -> None:
        spec, thread, raised = self.moving()

        self.source.driver.live_migration_force_complete(spec)
        self.assertIs(State.PAUSED, self.source.state(spec))
        self.source.driver.live_migration_abort(spec)

        thread.join()
        self.assertIsInstance(raised[0], exception.MigrationCancelled)
        self.roll_back(spec)
        self.assert_only_at(self.source, spec)

    def test_post_copy_waits_for_the_disks(self) -> None:
        self.connect(
            self.source, live_migration_permit_post_copy=True, **SLOW)
        spec = self.running(20)
        there = self.prepare(spec, self.source, self.target)
        thread, raised = self.in_background(
            lambda: self.go(there, self.source, self.target))
        self.wait_moving(spec)

        self.source.driver.live_migration_force_complete(spec)

        self.assertIs(State.RUNNING, self.source.state(spec))
        thread.join()
        self.assertEqual([], raised)
        self.finish(there, self.source, self.target)
        self.assert_only_at(self.target, spec)

    def test_a_paused_guest_is_paused_there(self) -> None:
        spec = self.running()
        self.source.driver.pause(spec)

        self.move(spec, self.source, self.target)

        self.assertIs(State.PAUSED, self.target.state(spec))
        self.target.driver.unpause(spec)
        self.assert_only_at(self.target, spec)

    def test_a_full_disk_there_leaves_the_guest_here(self) -> None:
        spec = self.running(20)
        there = self.prepare(spec, self.source, self.target)
        disk = self.target.instances_path / spec.uuid / 'disk'
        inside = ['mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs',
                  str(disk.parent)]
        kept = disk.read_bytes()
        self.assertEqual(0, self.target.host.run(inside).returncode)
        pathlib.Path(self.target.host.directory, 'kept').write_bytes(kept)
        self.target.host.run([
            'cp', str(self.target.host.directory / 'kept'), str(disk)])

        error = self.assertRaises(
            exception.MigrationFailed, self.go, there, self.source,
            self.target)

        self.assertNotEqual('', str(error))
        self.target.host.run(['umount', str(disk.parent)])
        self.roll_back(spec)
        self.assert_only_at(self.source, spec)
        self.count(self.source, spec, above=self.count(
            self.source, spec, above=0))

    def test_a_guest_whose_qemu_dies_has_not_moved(self) -> None:
        spec, thread, raised = self.moving()

        pid = self.source.host.guest_pid(spec.name)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

        thread.join()
        self.assertIsInstance(raised[0], exception.MigrationFailed)
        self.roll_back(spec)
        self.assertIs(State.SHUTDOWN, self.source.state(spec))
        self.assertIsNone(self.target.state(spec))
        self.assertEqual(
            ([], []), (self.source.notes(), self.target.notes()))
        self.source.driver.power_on(spec)
        self.count(self.source, spec, above=1)

    def test_a_host_that_is_not_ready_leaves_the_guest_here(self) -> None:
        spec = self.running()

        self.assertRaises(exception.MigrationFailed, self.go, spec,
                          self.source, self.target)

        self.roll_back(spec)
        self.assert_only_at(self.source, spec)

    def test_a_host_that_was_made_ready_may_build_it(self) -> None:
        spec = self.running()
        self.prepare(spec, self.source, self.target)

        self.target.driver.spawn(
            spec, attachments=self.attachments(self.target))

        self.count(self.target, spec, above=1)
        self.assertEqual([], self.target.notes())

    def test_one_that_comes_is_not_built_meanwhile(self) -> None:
        spec, thread, raised = self.moving()

        for verb in (self.target.driver.spawn, functools.partial(
                self.target.driver.finish_migration, formats={})):
            self.assertRaises(exception.WrongState, verb, spec)

        self.source.driver.live_migration_force_complete(spec)
        thread.join()
        self.assertEqual([], raised)
        self.finish(spec, self.source, self.target)
        self.assert_only_at(self.target, spec)

    def test_each_step_that_fails_leaves_the_guest_here(self) -> None:
        spec = self.running()
        before = self.source.files()
        # With the image in the cache, the steps are the same each time.
        self.prepare(spec, self.source, self.target)
        self.roll_back(spec)
        steps = []

        for verb in ('prepare', 'go'):
            number = 0
            while True:
                number += 1
                progress = fake_progress.FailingProgress(number)
                if verb == 'go':
                    spec = self.prepare(spec, self.source, self.target)
                try:
                    getattr(self, verb)(
                        spec, self.source, self.target, progress=progress)
                except fake_progress.Stopped:
                    steps.append(progress.steps[-1])
                    if verb == 'go':
                        self.roll_back(spec)
                    self.assert_only_at(self.source, spec)
                    self.assertEqual(before, self.source.files())
                    continue
                break
            if verb == 'prepare':
                self.roll_back(spec)

        self.assertEqual(
            ['check', 'folder', 'disks', 'prepare port-two',
             'connect port-two', 'start', 'connected', 'ports', 'leave open',
             'check', 'read', 'migrate'], steps)
        self.finish(spec, self.source, self.target)
        self.assert_only_at(self.target, spec)

    def test_a_preparation_that_is_killed_leaves_nothing(self) -> None:
        spec = self.running()

        for step in ('folder', 'disks', 'prepare port-two', 'connected',
                     'leave open'):
            self.killed_at('pre_live_migration', spec, self.target, step)
            self.assertNotEqual([], self.target.notes())
            self.connect(self.target)
            self.wait_clean(self.target)
            self.assert_only_at(self.source, spec)

    def test_a_killed_migration_is_aborted_by_the_next_process(self) -> None:
        spec = self.running(20)
        there = self.prepare(spec, self.source, self.target)
        for step in ('read', 'migrate'):
            self.killed_at('live_migration', there, self.source, step)
        process = self.child(
            'live_migration', there, self.source, libvirt=SLOW)
        self.wait_moving(spec)

        process.kill()
        process.wait()
        self.connect(self.source)

        self.wait_clean(self.source)
        self.assertIs(State.RUNNING, self.source.state(spec))
        self.roll_back(spec)
        self.assert_only_at(self.source, spec)

    def test_what_was_complete_when_its_process_died_is_told(self) -> None:
        spec = self.killed_too_late()

        self.connect(self.source)

        self.wait_clean(self.source)
        self.assertIn('its migration was complete', self.log.output)
        self.wait_clean(self.target)
        self.assert_only_at(self.target, spec)

    def killed_too_late(self) -> guest_spec.GuestSpec:
        """Return a guest whose migration ended after its process had died."""
        spec = self.running(20)
        there = self.prepare(spec, self.source, self.target)
        # One that was started may abort the migration before it ends.
        name = self.source.host.name
        self.source.driver.cleanup_host(name)
        self.source.driver = self.make_driver(self.source)
        self.addCleanup(self.source.driver.cleanup_host, name)
        process = self.child(
            'live_migration', there, self.source, libvirt=SLOW)
        self.wait_moving(spec)
        process.kill()
        process.wait()
        fake_ports.wait_until(
            lambda: self.source.state(spec) is None, 'the end of the move',
            timeout_s=180)
        return spec

    def test_what_its_service_has_here_is_not_started_here(self) -> None:
        self.homes['one'] = ports.Home.HERE
        spec = self.killed_too_late()
        self.connect(self.source)
        fake_ports.wait_until(
            lambda: any('gone to' in note for note in self.source.notes()),
            'the end of the move to be seen', timeout_s=180)

        self.assert_refused(spec)
        # Another process of that host knows no more.
        self.connect(self.source)
        self.assert_refused(spec)

        self.homes['one'] = ports.Home.ELSEWHERE
        self.wait_clean(self.target)
        self.move(spec, self.target, self.source)
        self.assert_only_at(self.source, spec)


class SharedStorageTest(LiveMigrationTestCase):
    """The hosts have the folder of the instances in common."""

    is_shared = True

    def test_a_guest_goes_there_and_back(self) -> None:
        spec = self.running()
        files = self.source.files()
        sides = [self.source, self.target]

        for here, there in (sides, sides[::-1]):
            before = self.count(here, spec, above=0)
            self.move(spec, here, there)

            self.assert_only_at(there, spec)
            self.count(there, spec, above=before)
            self.assertEqual(files, here.files())

    def test_memory_goes_in_several_ways(self) -> None:
        for options in (
                {'live_migration_parallel_connections': 2},
                {'live_migration_permit_auto_converge': True,
                 'live_migration_bandwidth': 100,
                 'live_migration_downtime': 100},
                {'live_migration_permit_post_copy': True},
                {'live_migration_tunnelled': True}):
            with self.subTest(**options):
                self.connect(self.source, **options)
                spec = self.running()
                before = self.count(self.source, spec, above=0)

                self.move(spec, self.source, self.target)

                self.assert_only_at(self.target, spec)
                self.count(self.target, spec, above=before)
                self.target.driver.destroy(
                    spec, attachments=self.attachments(self.target))

    def test_the_network_is_told_again_where_a_guest_is(self) -> None:
        for side in (self.source, self.target):
            for words in (('add', NIC.source, 'type', 'bridge'),
                          ('set', NIC.source, 'up')):
                side.host.run(['ip', 'link', *words])
            self.addCleanup(
                side.host.run, ['ip', 'link', 'del', NIC.source])
        spec = self.running(nics=(NIC,))
        told = self.listen(self.target)

        self.move(spec, self.source, self.target)

        # QEMU does it by itself for a second.
        fake_ports.wait_until(lambda: told, 'the first packets')
        self.wait_quiet(told)
        before = len(told)
        self.target.driver.announce(spec, count=2, interval_s=1)
        fake_ports.wait_until(
            lambda: len(told) > before + 5, 'the packets of twice')
        self.assertEqual({NIC.mac}, set(told))

    def listen(self, side: pair.Side) -> list[str]:
        """Return whose RARP packets come to the bridge from now on."""
        process = subprocess.Popen(
            ['nsenter', '--target', str(side.host.holder_pid), '--net',
             sys.executable, '-c', _LISTEN, NIC.source],
            stdout=subprocess.PIPE, text=True)
        found: list[str] = []
        assert process.stdout is not None
        process.stdout.readline()
        thread = threading.Thread(target=lambda: found.extend(
            line.strip() for line in process.stdout or ()))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return found

    def wait_quiet(self, told: list[str]) -> None:
        """Wait until nothing more was told for two seconds."""
        count = -1
        while count != len(told):
            count = len(told)
            time.sleep(2)

    def test_a_guest_runs_there_before_its_memory_is_there(self) -> None:
        self.connect(self.source, live_migration_permit_post_copy=True,
                     live_migration_bandwidth=1)
        # It has enough in its memory for a migration that takes its time.
        path = self.root / 'linux'
        linux_disk.write_disk(path, linux_guest.build(), name='web', note='')
        spec = specs.guest_spec(
            'web', self.images.add(str(path), name='linux').id,
            memory_mib=linux_guest.MEMORY_MIB)
        self.source.driver.spawn(
            spec, attachments=self.attachments(self.source))
        fake_ports.wait_until(
            lambda: b'tick' in self.source.driver.get_console_output(spec),
            'a guest that is up', timeout_s=240)
        there = self.prepare(spec, self.source, self.target)
        thread, raised = self.in_background(
            lambda: self.go(there, self.source, self.target))
        self.wait_moving(spec)

        self.source.driver.live_migration_force_complete(spec)
        self.assertRaises(exception.DriverError,
                          self.source.driver.live_migration_abort, spec)

        thread.join()
        self.assertEqual([], raised)
        self.finish(there, self.source, self.target)
        self.assert_only_at(self.target, spec)

    def test_a_host_that_was_made_ready_may_start_its_files(self) -> None:
        spec = self.running()
        self.prepare(spec, self.source, self.target)
        # As if the first host had failed.
        self.source.driver.power_off(spec)

        self.target.driver.finish_migration(
            spec, formats={}, attachments=self.attachments(self.target))

        self.count(self.target, spec, above=1)
        self.assertEqual([], self.target.notes())

    def test_what_was_deleted_too_early_keeps_its_files(self) -> None:
        self.homes['one'] = ports.Home.HERE
        spec = self.running()
        files = self.source.files()
        there = self.prepare(spec, self.source, self.target)
        self.go(there, self.source, self.target)
        self.source.driver.post_live_migration_at_source(
            there, attachments=self.attachments(self.source))
        self.target.driver.post_live_migration_at_destination(there)
        self.assert_refused(spec)

        self.source.driver.destroy(spec)
        self.homes['one'] = ports.Home.DELETED

        self.assertFalse(self.source.driver.delete_instance_files(spec))
        self.assertEqual(files, self.source.files())
        self.count(self.target, spec, above=self.count(
            self.target, spec, above=0))
        self.assertIn('gone to', self.source.notes()[0])
        self.target.driver.destroy(
            spec, attachments=self.attachments(self.target))
        self.wait_clean(self.source)
        self.wait_clean(self.target)
        self.assertEqual([], self.source.files())

    def test_one_that_was_stopped_there_goes_with_its_files(self) -> None:
        """The host that it has left does nothing any more."""
        spec = self.running()
        there = self.prepare(spec, self.source, self.target)
        self.go(there, self.source, self.target)
        self.target.driver.post_live_migration_at_destination(there)
        self.target.driver.power_off(spec)
        self.assertEqual(['live-migrate moved'], self.source.notes())

        self.target.driver.destroy(
            spec, attachments=self.attachments(self.target))

        self.assertEqual([], self.source.files())
        self.source.driver.post_live_migration_at_source(
            there, attachments=self.attachments(self.source))
        self.assertEqual(
            ([], []), (self.source.notes(), self.target.notes()))

    def test_an_old_domain_on_a_third_host_takes_no_files(self) -> None:
        spec = self.running()
        files = self.source.files()
        definition = self.root / 'web.xml'
        definition.write_text(self.source.host.virsh(
            'dumpxml', '--inactive', spec.name))
        there = self.prepare(spec, self.source, self.target)
        self.go(there, self.source, self.target)
        with libvirtd.PrivateHost('three') as host:
            host.virsh('define', str(definition))
            third = pair.Side(host, '', self.instances)
            self.connect(third)

            third.driver.destroy(spec)
            self.finish(there, self.source, self.target)
            third.driver.clean_up_operation(spec.uuid, '', force=False)

            self.assertIsNone(third.state(spec))
            self.assertEqual([], third.notes())
            third.driver.cleanup_host('three')
        self.assertEqual(files, self.source.files())
        self.assert_only_at(self.target, spec)

    def test_no_failure_touches_the_files(self) -> None:
        spec = self.running()
        files = self.source.files()

        for number in range(1, 5):
            there = self.prepare(spec, self.source, self.target)
            failing = functools.partial(
                self.go, there, self.source, self.target,
                fake_progress.FailingProgress(number))
            if number < 4:
                self.assertRaises(fake_progress.Stopped, failing)
                self.roll_back(spec)
            else:
                failing()
            self.assertEqual(files, self.source.files())
        self.finish(there, self.source, self.target)
        self.assert_only_at(self.target, spec)
