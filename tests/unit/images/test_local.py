# SPDX-License-Identifier: Apache-2.0

import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import threading
import typing
import uuid

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.images import local
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.testing import fake_progress
from tests import base

MIB = 1024 * 1024
CONTENT = os.urandom(MIB) + bytes(2 * MIB) + b'end' + bytes(5)


class Stopping(ports.NullProgress):
    """Raises as soon as something was copied."""

    def advance(self, done: int, total: int) -> None:
        raise TimeoutError('stopped by its caller')


class ImagesTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.here = self.useFixture(fixtures.TempDir()).path
        self.folder = os.path.join(self.here, 'state', 'images')
        self.images = local.LocalImages(self.folder)
        self.log = self.useFixture(fixtures.FakeLogger())

    def file(self, content: bytes = CONTENT, name: str = 'file') -> str:
        path = os.path.join(self.here, name)
        with open(path, 'wb') as file:
            file.write(content)
        return path

    def add(self, name: str = 'one', **fields: typing.Any
            ) -> image_spec.Image:
        return self.images.add(
            self.file(), name=name, **{'disk_format': 'raw', **fields})

    def content(self, image_id: str) -> bytes:
        file = io.BytesIO()
        self.images.download(image_id, file, ports.NullProgress())
        return file.getvalue()

    def files(self) -> list[str]:
        """Return what is in the folder, beside the lock."""
        if not os.path.isdir(self.folder):
            return []
        return sorted(set(os.listdir(self.folder)) - {'.lock'})

    def damage(self, image_id: str, text: str) -> None:
        with open(os.path.join(self.folder, f'{image_id}.json'), 'w',
                  encoding='utf-8') as file:
            file.write(text)


class AddTest(ImagesTestCase):

    def test_an_image_is_kept_as_it_is_described(self) -> None:
        added = self.add(properties={'hw_disk_bus': 'scsi'}, min_disk_gib=2,
                         min_ram_mib=64)

        self.assertEqual(
            image_spec.Image(
                id=added.id, name='one', disk_format='raw',
                size_bytes=len(CONTENT), min_disk_gib=2, min_ram_mib=64,
                checksum=hashlib.sha512(CONTENT).hexdigest(),
                checksum_algorithm='sha512',
                properties={'hw_disk_bus': 'scsi'}), added)
        other = local.LocalImages(self.folder)
        self.assertEqual([added], other.list())
        self.assertEqual(added, other.show(added.id))
        self.assertEqual(CONTENT, self.content(added.id))

    def test_files_have_no_world_bits_and_no_name_of_a_user(self) -> None:
        added = self.add('../../evil')

        self.assertEqual([f'{added.id}.data', f'{added.id}.json'],
                         self.files())
        for name in os.listdir(self.folder):
            status = os.stat(os.path.join(self.folder, name))
            self.assertEqual(0o640, stat.S_IMODE(status.st_mode))
        self.assertEqual(
            0o750, stat.S_IMODE(os.stat(self.folder).st_mode))

    def test_zeros_take_no_room(self) -> None:
        added = self.images.add(
            self.file(bytes(16 * MIB)), name='zeros', disk_format='raw')

        status = os.stat(os.path.join(self.folder, f'{added.id}.data'))
        self.assertEqual(16 * MIB, status.st_size)
        self.assertLess(status.st_blocks * 512, MIB)

    def test_a_hole_is_not_read(self) -> None:
        path = os.path.join(self.here, 'hole')
        with open(path, 'wb') as file:
            file.write(CONTENT)
            file.truncate(90 << 30)
            file.seek(70 << 30)
            file.write(CONTENT)
        progress = fake_progress.RecordingProgress()

        added = self.images.add(
            path, name='hole', disk_format='raw', progress=progress)

        self.assertEqual(90 << 30, added.size_bytes)
        self.assertLess(len(progress.advances), 20)
        kept = os.path.join(self.folder, f'{added.id}.data')
        self.assertLess(os.stat(kept).st_blocks * 512, 9 * MIB)
        with open(kept, 'rb') as file:
            for offset in (0, 70 << 30):
                file.seek(offset)
                self.assertEqual(CONTENT, file.read(len(CONTENT)))

    def test_the_format_of_a_file_is_found_out(self) -> None:
        path = os.path.join(self.here, 'disk')
        for kind in ('qcow2', 'raw', 'vmdk', 'vdi', 'vhdx'):
            subprocess.run(['qemu-img', 'create', '-q', '-f', kind, path,
                            '4M'], check=True)
            added = self.images.add(path, name=kind)
            self.assertEqual(kind, added.disk_format)

    def test_a_format_that_cannot_be_used_is_refused(self) -> None:
        path = os.path.join(self.here, 'disk')
        subprocess.run(
            ['qemu-img', 'create', '-q', '-f', 'qed', path, '4M'],
            check=True)

        error = self.assertRaises(
            exception.InvalidRequest, self.images.add, path, name='old')

        self.assertIn('qed', str(error))
        self.assertEqual([], self.files())

    def test_a_format_that_is_told_is_believed(self) -> None:
        content = b'QFI\xfb' + bytes(1000)

        added = self.images.add(
            self.file(content), name='lie', disk_format='raw')

        self.assertEqual('raw', added.disk_format)

    def test_what_is_no_file_is_refused(self) -> None:
        pipe = os.path.join(self.here, 'pipe')
        os.mkfifo(pipe)

        for path in (pipe, self.here, os.path.join(self.here, 'none'),
                     'a\0b', self.file(b'', 'empty')):
            error = self.assertRaises(
                exception.InvalidRequest, self.images.add, path, name='one')
            self.assertIn(path, str(error))
        self.assertEqual([], self.files())

    def test_a_link_is_followed_only_where_it_was_asked_for(self) -> None:
        link = os.path.join(self.here, 'link')
        os.symlink(self.file(), link)

        error = self.assertRaises(
            exception.InvalidRequest, self.images.add, link, name='one',
            disk_format='raw', follow=False)

        self.assertIn('link cannot be read', str(error))
        self.assertEqual([], self.images.list())
        self.assertEqual(CONTENT, self.content(self.images.add(
            link, name='one', disk_format='raw').id))

    def test_a_name_is_taken_once(self) -> None:
        first = self.add('one')

        self.assertRaises(exception.InvalidRequest, self.add, 'one')
        self.assertRaises(exception.InvalidRequest, self.add, '')
        self.assertRaises(
            exception.InvalidRequest, self.images.check_name, 'one')

        self.images.check_name('One')
        self.assertEqual([first], self.images.list())
        self.assertEqual(2, len(self.files()))

    def test_of_two_at_once_one_gets_the_name(self) -> None:
        path = self.file()
        both = threading.Barrier(2)
        results: list[object] = []

        class Waiting(ports.NullProgress):
            def step(self, name: str) -> None:
                both.wait(30)

        def add() -> None:
            try:
                results.append(self.images.add(
                    path, name='one', disk_format='raw', progress=Waiting()))
            except exception.InvalidRequest as error:
                results.append(error)

        threads = [threading.Thread(target=add) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        self.assertEqual(
            {image_spec.Image, exception.InvalidRequest},
            {type(result) for result in results})
        self.assertEqual(2, len(self.files()))

    def test_progress_counts_bytes(self) -> None:
        progress = fake_progress.RecordingProgress()

        self.add(progress=progress)

        self.assertEqual(['copy'], progress.steps)
        self.assertEqual((MIB, len(CONTENT)), progress.advances[0])
        self.assertEqual(
            (len(CONTENT), len(CONTENT)), progress.advances[-1])


class FailureTest(ImagesTestCase):

    def test_what_is_stopped_leaves_nothing(self) -> None:
        self.assertRaises(TimeoutError, self.add, progress=Stopping())

        self.assertEqual([], self.files())
        self.add()

    def test_a_folder_that_cannot_be_made_is_named(self) -> None:
        images = local.LocalImages(os.path.join(self.file(), 'images'))

        error = self.assertRaises(
            exception.StorageFailure, images.add, self.file(), name='one',
            disk_format='raw')

        self.assertIn('images', str(error))

    def child(self, code: str) -> 'subprocess.CompletedProcess[str]':
        """Add the file 'file' in another process, after some code."""
        return subprocess.run(
            [sys.executable, '-c',
             'import os, resource, signal, sys\n'
             'from nova_libvirt_driver import exception, ports\n'
             'from nova_libvirt_driver.images import local\n'
             'class Progress(ports.NullProgress):\n'
             '    def advance(self, done, total): advance(done)\n'
             f'{code}\n'
             'try:\n'
             '    local.LocalImages(sys.argv[1]).add(\n'
             '        sys.argv[2], name="one", disk_format="raw",\n'
             '        progress=Progress())\n'
             'except exception.StorageFailure as error:\n'
             '    print(error, error.next_step)\n',
             self.folder, self.file()], text=True, capture_output=True,
            check=False)

    def test_a_full_disk_leaves_nothing(self) -> None:
        ended = self.child(
            'advance = lambda done: None\n'
            'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n'
            'resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20,) * 2)')

        self.assertIn('File too large', ended.stdout)
        self.assertIn(f'right to write: {self.folder}/', ended.stdout)
        self.assertEqual([], self.files())

    def test_what_a_killed_process_left_goes_with_the_next(self) -> None:
        ended = self.child(
            'advance = lambda done: os.kill(os.getpid(), signal.SIGKILL)')
        self.assertEqual(-signal.SIGKILL, ended.returncode)
        self.assertEqual(1, len(self.files()))
        orphan = os.path.join(self.folder, f'{uuid.uuid4()}.data')
        with open(orphan, 'wb'):
            pass

        self.assertEqual([], self.images.list())
        added = self.add()

        self.assertEqual([f'{added.id}.data', f'{added.id}.json'],
                         self.files())

    def test_what_others_are_adding_stays(self) -> None:
        inner: list[image_spec.Image] = []
        add = self.add

        class Adding(ports.NullProgress):
            def advance(self, done: int, total: int) -> None:
                if not inner:
                    inner.append(add('inner'))

        outer = self.add('outer', progress=Adding())

        self.assertEqual([*inner, outer], self.images.list())
        self.assertEqual(CONTENT, self.content(outer.id))


class FindTest(ImagesTestCase):

    def test_an_image_is_found_by_what_tells_it_apart(self) -> None:
        one, other = self.add('one'), self.add('other')

        self.assertEqual(one, self.images.find('one'))
        self.assertEqual(one, self.images.find(one.id))
        self.assertEqual(other, self.images.find(other.id[:35]))

    def test_what_is_not_there_is_not_found(self) -> None:
        self.assertRaises(
            exception.ImageNotFound, self.images.find, 'one')
        self.add('one')
        for wanted in ('', 'on', '../one', str(uuid.uuid4())):
            self.assertRaises(
                exception.ImageNotFound, self.images.find, wanted)

    def test_several_are_named(self) -> None:
        ids = [f'aaaaaaaa-0000-4000-8000-00000000000{n}' for n in range(2)]
        for image_id in ids:
            self.images.upload(
                image_spec.Image(id=image_id, disk_format='raw'),
                io.BytesIO(b'x'), ports.NullProgress())

        error = self.assertRaises(
            exception.InvalidRequest, self.images.find, 'aaaa')

        for image_id in ids:
            self.assertIn(image_id, str(error))


class DamageTest(ImagesTestCase):

    def test_a_damaged_image_is_left_out_of_the_list(self) -> None:
        good, bad = self.add('good'), self.add('bad')
        for text in ('{', '{}', '[]', '\udcff'.encode(
                'utf-8', 'surrogateescape').decode('latin-1')):
            self.damage(bad.id, text)

            self.assertEqual([good], self.images.list())
            self.assertIn(bad.id, self.log.output)
            error = self.assertRaises(
                exception.StorageFailure, self.images.show, bad.id)
            self.assertIn(bad.id, str(error))

    def test_a_description_belongs_to_its_bytes(self) -> None:
        one, other = self.add('one'), self.add('other')
        data = os.path.join(self.folder, f'{one.id}.data')
        with open(os.path.join(self.folder, f'{other.id}.json'),
                  encoding='utf-8') as file:
            self.damage(one.id, file.read())
        os.truncate(os.path.join(self.folder, f'{other.id}.data'), 5)

        self.assertEqual([], self.images.list())
        os.unlink(data)
        self.assertRaises(
            exception.StorageFailure, self.images.show, one.id)

    def test_a_damaged_image_can_be_deleted(self) -> None:
        added = self.add()
        self.damage(added.id, '{')

        self.images.delete(added.id)

        self.assertEqual([], self.files())
        self.add()


class TransferTest(ImagesTestCase):

    def test_identifiers_that_are_none_are_refused(self) -> None:
        for image_id in ('', 'one', '../x', str(uuid.uuid4()).upper(),
                         f'{uuid.uuid4()}/../x', f'{uuid.uuid4()}\0'):
            for use in (self.images.show, self.images.delete, self.content):
                self.assertRaises(exception.InvalidRequest, use, image_id)

    def test_an_image_that_is_not_there_is_not_found(self) -> None:
        for use in (self.images.show, self.images.delete, self.content):
            self.assertRaises(
                exception.ImageNotFound, use, str(uuid.uuid4()))
        self.assertFalse(os.path.exists(self.folder))

    def test_a_deleted_image_is_gone(self) -> None:
        added = self.add()

        self.images.delete(added.id)

        self.assertEqual([], self.files())
        self.assertRaises(
            exception.ImageNotFound, self.images.show, added.id)

    def test_a_download_that_is_stopped_says_so(self) -> None:
        added = self.add()

        self.assertRaises(
            TimeoutError, self.images.download, added.id, io.BytesIO(),
            Stopping())

    def test_a_download_without_room_is_a_failure(self) -> None:
        added = self.add()

        with open('/dev/full', 'wb', buffering=0) as full:
            error = self.assertRaises(
                exception.StorageFailure, self.images.download, added.id,
                full, ports.NullProgress())

        self.assertIn('No space left', str(error))

    def test_a_snapshot_is_kept_with_the_right_length(self) -> None:
        described = image_spec.Image(
            id=str(uuid.uuid4()), disk_format='qcow2', name='snapshot',
            size_bytes=1, checksum='wrong', properties={'a': 'b'})
        progress = fake_progress.RecordingProgress()

        with open(self.file(), 'rb') as file:
            self.images.upload(described, file, progress)

        kept = self.images.show(described.id)
        self.assertEqual(len(CONTENT), kept.size_bytes)
        self.assertEqual(hashlib.sha512(CONTENT).hexdigest(), kept.checksum)
        self.assertEqual({'a': 'b'}, kept.properties)
        self.assertEqual((len(CONTENT), len(CONTENT)),
                         progress.advances[-1])

    def test_a_snapshot_that_is_stopped_leaves_nothing(self) -> None:
        described = image_spec.Image(
            id=str(uuid.uuid4()), disk_format='raw')

        self.assertRaises(
            TimeoutError, self.images.upload, described,
            io.BytesIO(CONTENT), Stopping())

        self.assertEqual([], self.files())

    def test_a_snapshot_replaces_no_image(self) -> None:
        added = self.add()

        for described in (
                image_spec.Image(id=added.id, disk_format='raw'),
                image_spec.Image(id=str(uuid.uuid4()), disk_format='raw',
                                 name='one')):
            self.assertRaises(
                exception.InvalidRequest, self.images.upload, described,
                io.BytesIO(b'x'), ports.NullProgress())

        self.assertEqual([added], self.images.list())
