# SPDX-License-Identifier: Apache-2.0

"""The volumes of a host that has no volume service."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import uuid

import fixtures

from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import volumes
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.storage import qemu_img
from tests import base

_KILLED = '''
import os, signal, sys
from nova_libvirt_driver.cli import volumes
from tests.unit.cli import test_volumes

folder, volume_id, point = sys.argv[1:]
volumes.LocalVolumes(folder, test_volumes.Disks(point)).create(
    volumes.Volume(id=volume_id, name='killed', size_bytes=1024))
'''


class Disks(qemu_img.QemuImg):
    """Makes disks without a program.

    :param point: where the process is killed, empty for nowhere
    """

    def __init__(self, point: str = '') -> None:
        self.error: Exception | None = None
        self._point = point

    def create(self, path: str, format: str, size_bytes: int) -> None:
        self._at('before')
        with open(path, 'xb') as file:
            file.truncate(size_bytes)
        if self.error is not None:
            raise self.error
        self._at('after')

    def resize(self, path: str, format: str, size_bytes: int) -> None:
        os.truncate(path, size_bytes)

    def _at(self, point: str) -> None:
        if point == self._point:
            os.kill(os.getpid(), signal.SIGKILL)


class VolumesTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path, 'volumes')
        self.disks = Disks()
        self.local = volumes.LocalVolumes(str(self.folder), self.disks)

    def wanted(self, name: str = 'data', **fields: object) -> volumes.Volume:
        return volumes.Volume(**{
            'id': str(uuid.uuid4()), 'name': name, 'size_bytes': 1024,
            **fields})  # type: ignore[arg-type]

    def files(self) -> list[str]:
        """Return what there is, but for folders and locks."""
        return sorted(str(path.relative_to(self.folder))
                      for path in self.folder.rglob('*')
                      if path.is_file() and path.suffix != '.lock')

    def test_a_volume_comes_grows_and_goes(self) -> None:
        made = self.local.create(self.wanted(format='qcow2'))

        self.assertEqual([made], self.local.all())
        self.assertEqual(made, self.local.find('data'))
        self.assertEqual(made, self.local.find(made.id[:8]))
        self.assertEqual(
            [f'default/{made.id}.json', f'default/{made.id}.qcow2'],
            self.files())
        with self.local.held(made) as now:
            self.local.resize(now, 2048)
            self.local.note_size(now, 2048)
        self.assertEqual(2048, self.local.find('data').size_bytes)
        with self.local.held(made) as now:
            self.local.delete(now)
        self.assertEqual([], self.files())
        self.assertEqual([], self.local.all())

    def test_what_fails_leaves_nothing(self) -> None:
        self.disks.error = exception.StorageFailure(reason='no room')

        self.assertRaises(
            exception.StorageFailure, self.local.create, self.wanted())

        self.assertEqual([], self.files())

    def test_what_a_killed_process_has_left_is_removed(self) -> None:
        for point in ('before', 'after'):
            with self.subTest(point=point):
                volume_id = str(uuid.uuid4())
                done = subprocess.run(
                    [sys.executable, '-W', 'ignore', '-c', _KILLED,
                     str(self.folder), volume_id, point],
                    capture_output=True)
                self.assertEqual(-signal.SIGKILL, done.returncode)
                left = self.local.find('killed')
                self.assertFalse(left.whole)
                with self.assertRaises(errors.Conflict):
                    with self.local.held(left):
                        pass

                made = self.local.create(self.wanted('killed'))

                self.assertEqual([made], self.local.all())
                with self.local.held(made) as now:
                    self.local.delete(now)
                self.assertEqual([], self.files())

    def test_files_of_others_are_never_touched(self) -> None:
        made = self.local.create(self.wanted())
        others = ['default/mine.raw', f'default/{uuid.uuid4()}.raw',
                  f'default/{uuid.uuid4()}.json']
        for name in others:
            (self.folder / name).write_text('{"whole": false}')
        record = self.folder / f'default/{made.id}.json'
        # As if somebody had copied it.
        copy = self.folder / f'default/{uuid.uuid4()}.json'
        copy.write_text(record.read_text())

        self.assertEqual([made], self.local.all())
        self.local.create(self.wanted('other'))
        with self.local.held(made) as now:
            self.local.delete(now)

        self.assertTrue(all((self.folder / name).exists()
                            for name in others))
        self.assertTrue(copy.exists())

    def test_names_and_pools(self) -> None:
        self.local.create(self.wanted())

        for error, wanted in (
                (errors.Conflict, self.wanted()),
                (errors.UsageError, self.wanted('-x')),
                (errors.UsageError, self.wanted(str(uuid.uuid4()))),
                (errors.UsageError, self.wanted('b', pool='fast')),
                (errors.UsageError, self.wanted('b', pool='../x'))):
            self.assertRaises(error, self.local.create, wanted)
        (self.folder / 'fast').mkdir()
        self.local.create(self.wanted('b', pool='fast'))
        self.assertEqual(['b', 'data'], [
            volume.name for volume in self.local.all()])
        self.assertRaises(errors.NotFound, self.local.find, 'c')

    def test_one_command_at_a_time(self) -> None:
        volume = self.local.create(self.wanted())
        order = []

        def wait() -> None:
            with self.local.held(volume):
                order.append('second')

        waiting = threading.Thread(target=wait)
        with self.local.held(volume):
            waiting.start()
            order.append('first')
        waiting.join()

        self.assertEqual(['first', 'second'], order)

    def test_two_of_one_name_at_once(self) -> None:
        found: list[object] = []

        def create() -> None:
            try:
                found.append(self.local.create(self.wanted()))
            except errors.Conflict as error:
                found.append(str(error))

        threads = [threading.Thread(target=create) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        self.assertEqual(1, len(self.local.all()))
        self.assertEqual(3, found.count('volume data exists already'))

    def test_exports(self) -> None:
        for word, expected in (
                ('nbd://h/disk', ('disk', 'h', 10809, '')),
                ('nbd://h:7/a/b', ('a/b', 'h', 7, '')),
                ('nbd+unix:///d?socket=/run/s', ('d', '', 0, '/run/s'))):
            made = volumes.from_source(word, name='x', pool='default')
            self.assertEqual(expected, (
                made.path, made.host, made.port, made.socket))
            source = self.local.disk(made, disk_spec.DiskBus.SCSI).source
            self.assertEqual(('nbd', disk_spec.SourceKind.NETWORK), (
                source.protocol, source.kind))
        for word in ('nbd://', 'nbd+unix:///d', 'nbd://h:x/d', '/dev/null',
                     'nbd://h/d?socket=/run/s', 'nbds://h/d', '/missing'):
            self.assertRaises(
                errors.UsageError, volumes.from_source, word, name='x',
                pool='default')

    def test_a_device_that_is_not_there(self) -> None:
        volume = self.local.create(self.wanted(
            kind=volumes.Kind.DEVICE, path='/dev/missing'))

        self.assertRaises(
            errors.Conflict, self.local.disk, volume,
            disk_spec.DiskBus.VIRTIO)
