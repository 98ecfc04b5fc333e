# SPDX-License-Identifier: Apache-2.0

from concurrent import futures
import hashlib
import os
import pathlib
import stat
import struct
import subprocess
import sys
import threading

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import image_cache
from nova_libvirt_driver.storage import qemu_img
from nova_libvirt_driver.storage import tool
from nova_libvirt_driver.testing import fake_images
from nova_libvirt_driver.testing import fake_progress
from tests import base
from tests import hostile_images

MIB = 1024 * 1024
QUIET = ports.NullProgress()
CHILD = '''
from concurrent import futures
import sys
from nova_libvirt_driver import ports
from nova_libvirt_driver.testing import fake_images
from tests.unit.storage import test_image_cache
class Logged(fake_images.MemoryImages):
    def download(self, image_id, file, progress):
        with open(sys.argv[2], 'a') as log:
            log.write(image_id + '\\n')
        super().download(image_id, file, progress)
def use(number):
    images = Logged()
    images.add(b'x' * (4 << 20), id='img-1')
    cache = test_image_cache.make(sys.argv[1])
    with cache.using('img-1', images, ports.NullProgress()) as cached:
        assert cached.virtual_size_bytes == 4 << 20
with futures.ThreadPoolExecutor(5) as pool:
    list(pool.map(use, range(10)))
'''


def make(root: str, **fields: object) -> image_cache.ImageCache:
    policy = policy_spec.StoragePolicy(
        instances_path=root, **fields)  # type: ignore[arg-type]
    return image_cache.ImageCache(
        policy, qemu_img.QemuImg(tool.Tool(policy), policy))


class CacheTest(base.TestCase):
    """An image cache in a folder of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.folder = pathlib.Path(self.root, '_base')
        self.images = fake_images.MemoryImages()
        self.cache = make(self.root)

    def use(
            self, image: image_spec.Image,
            cache: image_cache.ImageCache | None = None,
            at_most_bytes: int | None = None) -> image_spec.CachedImage:
        with (cache or self.cache).using(
                image.id, self.images, QUIET,
                at_most_bytes=at_most_bytes) as cached:
            return cached

    def files(self) -> list[str]:
        return sorted(
            os.path.relpath(path, self.folder)
            for path in self.folder.rglob('*') if path.is_file())

    def qcow2(self, size: int = 3 * MIB) -> bytes:
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'x')
        subprocess.check_call(
            ['qemu-img', 'create', '-q', '-f', 'qcow2', path, str(size)])
        return pathlib.Path(path).read_bytes()


class ImageCacheTest(CacheTest):

    def test_an_image_is_brought_once(self) -> None:
        image = self.images.add(b'x' * MIB)

        first = self.use(image)
        again = self.use(image, make(self.root))

        key = hashlib.sha1(image.id.encode()).hexdigest()
        self.assertEqual(str(self.folder / key), first.path)
        self.assertEqual(('raw', MIB, True), (
            first.format, first.virtual_size_bytes, first.fetched))
        self.assertFalse(again.fetched)
        self.assertEqual([image.id], self.images.downloads)
        self.assertEqual(b'x' * MIB, pathlib.Path(first.path).read_bytes())
        self.assertEqual([f'.locks/{key}', key, f'{key}.json'], self.files())

    def test_identifiers_are_no_paths(self) -> None:
        for name in ('../../x', '/etc/passwd', 'a/b', '..', 'x\n', 'é'):
            cached = self.use(self.images.add(b'x', id=name))

            self.assertEqual(
                str(self.folder), os.path.dirname(cached.path))
        self.assertEqual(['_base'], os.listdir(self.root))

    def test_images_become_raw_when_the_host_wants_it(self) -> None:
        image = self.images.add(self.qcow2(), disk_format='qcow2')

        cached = self.use(image)

        self.assertEqual(('raw', 3 * MIB),
                         (cached.format, cached.virtual_size_bytes))
        self.assertEqual(
            b'\0' * 3 * MIB, pathlib.Path(cached.path).read_bytes())
        self.assertEqual(3, len(self.files()))

    def test_images_stay_as_they_are_otherwise(self) -> None:
        image = self.images.add(self.qcow2(), disk_format='qcow2')
        cache = make(self.root, force_raw_images=False)

        self.assertEqual('qcow2', self.use(image, cache).format)
        self.assertEqual('qcow2', self.use(image, cache).format)

    def test_others_on_the_host_may_not_read_images(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        self.use(self.images.add(self.qcow2(), disk_format='qcow2'))

        for path in (self.folder, *self.folder.rglob('*')):
            mode = stat.S_IMODE(os.stat(path).st_mode)
            self.assertEqual(
                0o750 if path.is_dir() else
                0o600 if path.parent.name == '.locks' else 0o640,
                mode, str(path))

    def test_those_who_come_together_wait_for_one(self) -> None:
        image = self.images.add(self.qcow2(), disk_format='qcow2')

        with futures.ThreadPoolExecutor(8) as pool:
            found = list(pool.map(
                lambda _: self.use(image, make(self.root)), range(16)))

        self.assertEqual([image.id], self.images.downloads)
        self.assertEqual(1, sum(one.fetched for one in found))
        self.assertEqual(1, len({one.path for one in found}))

    def test_processes_that_come_together_wait_for_one(self) -> None:
        log = os.path.join(self.root, 'downloads')
        children = [subprocess.Popen(
            [sys.executable, '-c', CHILD, self.root, log])
            for _ in range(4)]

        self.assertEqual([0] * 4, [child.wait() for child in children])

        self.assertEqual('img-1\n', pathlib.Path(log).read_text())
        self.assertEqual(3, len(self.files()))

    def test_who_waits_may_give_up(self) -> None:
        image = self.images.add(b'x')
        begun, end = threading.Event(), threading.Event()
        self.images.faults.before_chunk = lambda: (
            begun.set() or end.wait(30))  # type: ignore[func-returns-value]

        class Stop(ports.NullProgress):
            def advance(self, done: int, total: int) -> None:
                raise fake_progress.Stopped

        with futures.ThreadPoolExecutor(1) as pool:
            other = pool.submit(self.use, image)
            begun.wait(30)
            using = self.cache.using(image.id, self.images, Stop())
            self.assertRaises(fake_progress.Stopped, using.__enter__)
            end.set()

        self.assertTrue(other.result().fetched)

    def test_a_changed_image_is_not_used_again(self) -> None:
        image = self.images.add(b'x' * MIB)
        path = self.use(image).path
        header = self.qcow2()
        for content in (header.ljust(MIB, b'\0')[:MIB], b'x' * 2 * MIB):
            pathlib.Path(path).write_bytes(content)

            self.assertRaises(exception.ImageRefused, self.use, image)

    def test_a_damaged_record_is_not_guessed(self) -> None:
        image = self.images.add(b'x' * MIB)
        path = self.use(image).path
        pathlib.Path(f'{path}.json').write_text('{"format": "qcow2"}')

        self.assertRaises(exception.StorageFailure, self.use, image)

    def test_an_image_of_novas_own_driver_is_what_it_has_to_be(self) -> None:
        good, bad = (self.images.add(b'x', id=name) for name in ('1', '2'))
        self.folder.mkdir(0o750)
        for image, content in ((good, b'y' * MIB), (bad, self.qcow2())):
            name = hashlib.sha1(image.id.encode()).hexdigest()
            (self.folder / name).write_bytes(content)

        self.assertEqual(MIB, self.use(good).virtual_size_bytes)
        self.assertRaises(exception.ImageRefused, self.use, bad)
        self.assertEqual([], self.images.downloads)


class RefusalTest(CacheTest):

    def assertNothingLeft(self) -> None:
        self.assertEqual([], self.files())

    def test_what_is_not_what_it_is_declared_to_be(self) -> None:
        backed = bytearray(self.qcow2())
        struct.pack_into('>QI', backed, 8, 512, 11)
        backed[512:523] = b'/etc/passwd'
        for content, declared in (
                (self.qcow2(), 'raw'), (b'x' * MIB, 'qcow2'),
                (bytes(backed), 'qcow2'), (bytes(backed), 'raw'),
                (b'x', '../../raw')):
            image = self.images.add(content, disk_format=declared)

            self.assertRaises(exception.ImageRefused, self.use, image)

            self.assertNothingLeft()

    def test_an_image_within_an_image(self) -> None:
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'x')
        pathlib.Path(path).write_bytes(self.qcow2())
        subprocess.check_call(['qemu-img', 'convert', '-f', 'raw', '-O',
                               'qcow2', path, f'{path}.out'])
        image = self.images.add(
            pathlib.Path(f'{path}.out').read_bytes(), disk_format='qcow2')

        self.assertRaises(exception.ImageRefused, self.use, image)

        self.assertNothingLeft()

    def test_a_small_file_with_a_huge_disk(self) -> None:
        image = self.images.add(self.qcow2(1 << 40), disk_format='qcow2')

        error = self.assertRaises(
            exception.ImageRefused, self.use, image)
        self.assertIn('1024 GiB', str(error))
        self.assertIn('image_max_size', error.next_step)
        self.assertRaises(
            exception.FlavorTooSmall, self.use, image,
            make(self.root, image_max_gib=4096), 1 << 30)

        self.assertNothingLeft()

    def test_the_flavor_decides_where_it_has_a_size(self) -> None:
        image = self.images.add(self.qcow2(2 << 30), disk_format='qcow2')

        with make(self.root, image_max_gib=1).using(
                image.id, self.images, QUIET,
                at_most_bytes=2 << 30) as cached:
            self.assertEqual(2 << 30, cached.virtual_size_bytes)

    def test_an_image_that_only_qemu_refuses(self) -> None:
        self.useFixture(fixtures.FakeLogger())
        content = bytearray(self.qcow2())
        # The table of reference counts is beyond the end of the file.
        struct.pack_into('>Q', content, 48, 3)
        image = self.images.add(bytes(content), disk_format='qcow2')

        error = self.assertRaises(exception.ImageRefused, self.use, image)

        self.assertIn('QEMU cannot read it', str(error))
        self.assertNotIn(self.root, f'{error} {error.next_step}')
        self.assertNothingLeft()

    def test_an_image_that_says_more_than_can_be_read(self) -> None:
        self.useFixture(fixtures.FakeLogger())
        image = self.images.add(
            hostile_images.snapshots(20000), disk_format='qcow2')

        error = self.assertRaises(exception.ImageRefused, self.use, image)

        self.assertNotIn(self.root, f'{error} {error.next_step}')
        self.assertNothingLeft()

    def test_an_image_that_qemu_cannot_read_to_its_end(self) -> None:
        self.useFixture(fixtures.FakeLogger())
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'x')
        pathlib.Path(path).write_bytes(b'x' * MIB)
        subprocess.check_call(['qemu-img', 'convert', '-c', '-f', 'raw', '-O',
                               'qcow2', path, f'{path}.out'])
        content = bytearray(pathlib.Path(f'{path}.out').read_bytes())
        # What is compressed begins behind the tables of an image so small.
        content[5 * 65536:] = b'\xff' * len(content[5 * 65536:])
        image = self.images.add(bytes(content), disk_format='qcow2')

        error = self.assertRaises(exception.ImageRefused, self.use, image)

        self.assertIn('QEMU cannot read it', str(error))
        self.assertNothingLeft()

    def test_a_fixed_vhd_image(self) -> None:
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'x')
        content = os.urandom(MIB)
        pathlib.Path(path).write_bytes(content)
        subprocess.check_call(
            ['qemu-img', 'convert', '-f', 'raw', '-O', 'vpc', '-o',
             'subformat=fixed,force_size=on', path, f'{path}.out'])
        image = self.images.add(
            pathlib.Path(f'{path}.out').read_bytes(), disk_format='vhd')

        with self.cache.using(image.id, self.images, QUIET) as cached:
            self.assertEqual(
                content, pathlib.Path(cached.path).read_bytes())

    def test_a_disk_that_grows_when_it_is_unpacked(self) -> None:
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'x')
        with open(path, 'wb') as file:
            file.write(b'x' * MIB * 32)
        subprocess.check_call(['qemu-img', 'convert', '-c', '-f', 'raw', '-O',
                               'qcow2', path, f'{path}.out'])
        content = pathlib.Path(f'{path}.out').read_bytes()
        self.assertLess(len(content), MIB)
        image = self.images.add(content, disk_format='qcow2')

        self.assertRaises(exception.FlavorTooSmall, self.use, image,
                          self.cache, 16 * MIB)

        self.assertNothingLeft()

    def test_the_size_of_a_vhd_image_is_the_declared_one(self) -> None:
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'x')
        subprocess.check_call(
            ['qemu-img', 'create', '-q', '-f', 'vpc', path, '64G'])
        content = bytearray(pathlib.Path(path).read_bytes())
        # The geometry stays as it is, which QEMU goes by if it may.
        struct.pack_into('>QQ', content, 40, MIB, MIB)
        struct.pack_into('>I', content, 64, 0)
        struct.pack_into('>I', content, 64, ~sum(content[:512]) & 0xffffffff)
        image = self.images.add(bytes(content), disk_format='vpc')

        with self.cache.using(image.id, self.images, QUIET,
                              at_most_bytes=16 * MIB) as cached:
            self.assertEqual(MIB, os.path.getsize(cached.path))

    def test_more_bytes_than_were_declared(self) -> None:
        cache = make(self.root, image_max_gib=0)
        for size in (None, 0, MIB):
            image = self.images.add(
                b'x' * MIB, size_bytes=size, checksum='')

            self.assertRaises(
                exception.ImageRefused, self.use, image, cache)

            self.assertNothingLeft()

    def test_other_bytes_than_were_declared(self) -> None:
        for fields in ({'checksum': 'ff'}, {'checksum_algorithm': 'md5'},
                       {'checksum_algorithm': 'shake_128'},
                       {'size_bytes': 5}):
            image = self.images.add(b'x' * MIB, **fields)

            self.assertRaises(exception.ImageRefused, self.use, image)

            self.assertNothingLeft()

    def test_a_transfer_that_breaks_off(self) -> None:
        self.images.faults.download_fails_at = 100
        image = self.images.add(b'x' * MIB)
        self.assertRaises(exception.StorageFailure, self.use, image)
        self.assertNothingLeft()

        self.images.faults.download_fails_at = None
        self.assertTrue(self.use(image).fetched)

    def test_an_image_that_is_not_there(self) -> None:
        self.assertRaises(exception.ImageNotFound, self.use,
                          image_spec.Image(id='x', disk_format='raw'))
        self.assertNothingLeft()

    def test_any_step_may_be_the_last(self) -> None:
        image = self.images.add(self.qcow2(), disk_format='qcow2')
        for number in (1, 2):
            stop = fake_progress.FailingProgress(number)

            using = self.cache.using(image.id, self.images, stop)
            self.assertRaises(fake_progress.Stopped, using.__enter__)

            self.assertTrue(stop.raised)
            self.assertNothingLeft()
