# SPDX-License-Identifier: Apache-2.0

"""Between two hosts in memory: what each is told, however it ends."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import os
import subprocess
import time
from typing import Any

from nova_libvirt_driver import base as base_driver
from nova_libvirt_driver.compute import local_server
from nova_libvirt_driver.compute import verbs
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.testing import fake_guest_driver
from nova_libvirt_driver.testing import specs
from tests.unit.cli import base

TO = 'qemu+tls://[2001:db8::2]/system'


class Driver(fake_guest_driver.GuestDriver):
    """A host that guests leave, or come to.

    :ivar moves: whether a guest that is let go is there in the end
    """

    moves = True
    is_shared = False
    host_uuid = 'of-there'
    before_ready: Callable[[], object] = staticmethod(lambda: None)

    def get_capabilities(self, uri: str = '') -> str:
        host_uuid = 'of-there' if uri == TO else self.host_uuid
        return (f'<capabilities><host><uuid>{host_uuid}</uuid></host>'
                '</capabilities>')

    def check_can_live_migrate_source(
            self, instance: instance_spec.Instance) -> None:
        self._called('check_can_live_migrate_source', instance)

    def check_cpu(self, cpu_xml: str, virt_type: str) -> None:
        self._called('check_cpu', instance_spec.InstanceRef('', ''))

    def get_arrival_place(self, marker: str) -> migration_spec.Place:
        return migration_spec.Place(
            instances_path='/there', is_shared=self.is_shared)

    def get_instance_disk_info(
            self, instance: instance_spec.Instance
    ) -> list[disk_spec.DiskUse]:
        return [disk_spec.DiskUse(
            path='/here/disk', format='qcow2', size_bytes=7, taken_bytes=1,
            backing_file='/cache/image')]

    def pre_live_migration(
            self, spec: guest_spec.GuestSpec, *,
            disks: Sequence[migration_spec.MovedDisk] | None = None,
            images: ports.ImageSource | None = None,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base_driver.NO_PROGRESS
    ) -> guest_spec.GuestSpec:
        self._called('pre_live_migration', spec, disks=disks)
        self.before_ready()
        self.specs[spec.uuid] = spec
        return spec

    def live_migration(
            self, spec: guest_spec.GuestSpec,
            destination: migration_spec.Destination,
            **keywords: Any) -> None:
        if self.moves:
            self.instances = []
        self._called('live_migration', spec, destination=destination)

    def post_live_migration_at_source(
            self, instance: instance_spec.Instance, *,
            attachments: ports.Attachments = ()) -> None:
        self._called('post_live_migration_at_source', instance)

    def post_live_migration_at_destination(
            self, spec: guest_spec.GuestSpec, *,
            progress: ports.Progress = base_driver.NO_PROGRESS) -> None:
        self._called('post_live_migration_at_destination', spec)

    def rollback_live_migration_at_destination(
            self, instance: instance_spec.Instance, *,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base_driver.NO_PROGRESS) -> None:
        self._called('rollback_live_migration_at_destination', instance)


class MigrateTest(base.ServerTestCase):

    def setUp(self) -> None:
        super().setUp()
        (self.folder / 'instances').mkdir()
        self.here, self.there = (Driver(ports.VirtAPI(
            ports.NullNotifier(), ports.NullServiceState(), self.images))
            for _ in range(2))
        self.here.hypervisor_uri = 'qemu:///system'
        self.driver = self.here
        path = str(self.folder / 'there.sock')
        server = local_server.LocalServer(
            path, verbs.Endpoint('h2', self.there, dict), set())
        server.start()
        self.addCleanup(server.stop)
        self.words = ('server', 'migrate', 'web1', '--to', TO, '--service',
                      path)

    def verbs(self) -> tuple[list[str], list[str]]:
        """Return what this host and the other one were told to do."""
        return self.driver.verb_names(), [
            name for name in self.there.verb_names()
            if name != 'set_autostart']

    def test_it_goes_and_its_disks_are_copied_whole(self) -> None:
        uuid, = self.have('web1')

        found = self.answer(*self.words, '--copy-disks')

        self.assertEqual((uuid, TO), (found['id'], found['host']))
        self.assertEqual(
            (['check_can_live_migrate_source', 'live_migration',
              'post_live_migration_at_source'],
             ['pre_live_migration', 'post_live_migration_at_destination']),
            self.verbs())
        self.assertEqual(
            [migration_spec.MovedDisk(
                name='disk', format='qcow2', size_bytes=7)],
            list(self.there.verbs[0].arguments['disks']))
        self.assertEqual(
            migration_spec.Destination(
                uri=TO, migrate_uri='tcp://[2001:db8::2]',
                instances_path='/there'),
            self.driver.verbs[1].arguments['destination'])

    def test_disks_are_copied_or_shared_as_was_said(self) -> None:
        self.have('web1')
        for is_shared, words, code in (
                (False, (), 4), (True, ('--copy-disks',), 4), (True, (), 0)):
            self.there.is_shared = is_shared

            result = self.type(*self.words, *words)

            self.assertEqual(code, result.code, result.stderr)
        self.assertIsNone(self.there.verbs[0].arguments['disks'])

    def test_what_would_not_be_there_keeps_it_here(self) -> None:
        user = nic_spec.NicSpec(
            mac='52:54:00:00:00:01', kind=nic_spec.NicKind.USER)
        stopped = nic_spec.NicSpec(mac='52:54:00:00:00:02', source='lab')
        volume = disk_spec.DiskSpec(
            target_dev='vdb', id='one', bus=disk_spec.DiskBus.VIRTIO,
            format='raw', source=disk_spec.DiskSource(
                path='/volumes/one'))
        spec = specs.guest_spec('web1')
        for changes, said in (
                ({'nics': (user,)}, 'user networking'),
                ({'nics': (stopped,)}, 'no active network lab'),
                ({'storage': dataclasses.replace(
                    spec.storage, volumes=(volume,))}, 'volume one')):
            self.driver.instances = []
            self.driver.spawn(dataclasses.replace(spec, **changes))

            result = self.type(*self.words, '--copy-disks')

            self.assertEqual(4, result.code, result.stderr)
            self.assertIn(said, result.stderr)
            self.assertIn('nothing was changed', result.stderr)
        self.assertEqual([], self.there.verbs)

    def test_the_service_and_libvirt_are_those_of_one_host(self) -> None:
        self.have('web1')
        self.there.host_uuid = 'of-another'

        result = self.type(*self.words, '--copy-disks')

        self.assertEqual(4, result.code, result.stderr)
        self.assertIn('on host of-another', result.stderr)
        self.assertIn('nothing was changed', result.stderr)
        self.assertEqual([], self.there.verbs)

    def test_a_server_that_is_there_already(self) -> None:
        uuid, = self.have('web1')
        self.there.spawn(dataclasses.replace(
            specs.guest_spec('web2'), uuid=uuid))
        self.there.verbs.clear()

        result = self.type(*self.words, '--copy-disks')

        self.assertEqual(4, result.code, result.stderr)
        self.assertIn('already', result.stderr)
        self.assertEqual([], self.there.verbs)

    def test_cpus_are_compared_unless_it_is_said(self) -> None:
        uuid, = self.have('web1')
        self.here.xml[uuid] = 2 * (
            '<domain type="kvm"><cpu><model>Nova</model></cpu></domain>',)
        self.there.failing['check_cpu'] = exception.UnsupportedOperation(
            tried='give a guest that CPU', reason='no avx512f')

        result = self.type(*self.words, '--copy-disks')
        self.assertIn('no avx512f', result.stderr)
        self.answer(*self.words, '--copy-disks', '--skip-cpu-check')

    def interrupt(self) -> None:
        # From outside, and while this waits: with eventlet the other host
        # is in the thread that is interrupted, too.
        going = subprocess.Popen(
            ['sh', '-c', f'sleep 1; kill -INT {os.getpid()}'])
        while going.poll() is None:
            time.sleep(0.1)
        time.sleep(1)

    def test_an_interruption_once_the_other_host_is_ready(self) -> None:
        self.have('web1')
        self.here.moves = False
        self.there.before_ready = self.interrupt

        result = self.type(*self.words, '--copy-disks')

        self.assertEqual(130, result.code, result.stderr)
        self.assertIn('the server is here as before', result.stderr)
        self.assertEqual(
            ['pre_live_migration', 'rollback_live_migration_at_destination'],
            self.verbs()[1])

    def test_what_fails_leaves_it_here(self) -> None:
        self.have('web1')
        self.here.moves = False
        for error in (
                exception.MigrationFailed(
                    instance='web1', destination=TO, reason='no room'),
                KeyboardInterrupt()):
            self.there.verbs.clear()
            self.driver.failing['live_migration'] = error

            result = self.type(*self.words, '--copy-disks')

            self.assertNotEqual(0, result.code)
            self.assertIn('the server is here as before', result.stderr)
            self.assertEqual(
                ['pre_live_migration',
                 'rollback_live_migration_at_destination'], self.verbs()[1])

    def test_an_interruption_that_comes_too_late_is_none(self) -> None:
        self.have('web1')
        self.driver.failing['live_migration'] = KeyboardInterrupt()

        self.answer(*self.words, '--copy-disks')

        self.assertIn('post_live_migration_at_destination', self.verbs()[1])

    def test_where_it_is_unclear_nothing_is_undone(self) -> None:
        self.have('web1')
        self.here.moves = False
        self.driver.failing['live_migration'] = exception.MigrationUnclear(
            instance='web1', destination=TO, reason='no answer')

        result = self.type(*self.words, '--copy-disks')

        self.assertEqual(1, result.code, result.stderr)
        self.assertEqual(['pre_live_migration'], self.verbs()[1])

    def test_what_fails_afterwards_does_not_call_it_back(self) -> None:
        self.have('web1')
        for verb, driver in (
                ('post_live_migration_at_destination', self.there),
                ('post_live_migration_at_source', self.driver)):
            driver.failing[verb] = exception.StorageFailure(
                reason='a full disk', path='/')

        result = self.type(*self.words, '--copy-disks')

        self.assertEqual(0, result.code)
        self.assertEqual(2, result.stderr.count('the server has moved'))
