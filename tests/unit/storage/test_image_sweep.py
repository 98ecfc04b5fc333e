# SPDX-License-Identifier: Apache-2.0

from concurrent import futures
import os
import pathlib
import threading
import time

import fixtures

from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.spec import image as image_spec
from tests import children
from tests.unit.storage import test_image_cache

CHILD = '''
import sys, time
from nova_libvirt_driver import ports
from nova_libvirt_driver.testing import fake_images
from tests.unit.storage import test_image_cache
images = fake_images.MemoryImages()
image = images.add(b'x' * 300000, id='killed')
def hang():
    images.faults.before_chunk = lambda: (
        print('begun', flush=True), time.sleep(600))
images.faults.before_chunk = hang
cache = test_image_cache.make(sys.argv[1])
cache.using(image.id, images, ports.NullProgress()).__enter__()
'''

CONVERTING_CHILD = '''
import pathlib, sys
from nova_libvirt_driver import ports
from nova_libvirt_driver.testing import fake_images
from tests.unit.storage import test_image_cache
class Told(ports.NullProgress):
    def advance(self, done, total):
        if 0 < done < total == 3 << 20:
            print('begun', flush=True)
images = fake_images.MemoryImages()
content = pathlib.Path(sys.argv[2]).read_bytes()
image = images.add(content, disk_format='qcow2')
cache = test_image_cache.make(sys.argv[1])
cache.using(image.id, images, Told()).__enter__()
'''
# Stands in for the tool in the middle of its work.
HANGING_TOOL = '''#!/bin/sh
case $1 in info) exec /usr/bin/qemu-img "$@";; esac
printf '    (50.00/100%%)\\r'
exec sleep 600
'''

_AGE_S = 86400


class SweepTest(test_image_cache.CacheTest):

    def _aged(self, content: bytes = b'x') -> image_spec.CachedImage:
        cached = self.use(self.images.add(content))
        self._age(cached)
        return cached

    def _age(self, cached: image_spec.CachedImage) -> None:
        for path in (cached.path, f'{cached.path}.json'):
            os.utime(path, (0, 0))

    def sweep(self, *used: image_spec.CachedImage) -> list[str]:
        return self.cache.sweep(
            lambda: {os.path.basename(one.path) for one in used}, _AGE_S)

    def test_what_nobody_used_for_long_goes(self) -> None:
        old, used, fresh = (
            self._aged(), self._aged(), self.use(self.images.add(b'y')))

        self.assertEqual([old.path], self.sweep(used))

        left = [name for name in self.files() if '/' not in name]
        self.assertEqual(
            sorted(os.path.basename(path) + end for path in (
                used.path, fresh.path) for end in ('', '.json')), left)
        self.assertEqual([], self.sweep(used))

    def test_what_is_used_now_stays(self) -> None:
        image = self.images.add(b'x')
        with self.cache.using(
                image.id, self.images, test_image_cache.QUIET) as cached:
            self._age(cached)

            self.assertEqual([], test_image_cache.make(
                self.root).sweep(set, _AGE_S))
            self.assertTrue(os.path.exists(cached.path))

        self.assertEqual([cached.path], self.sweep())
        self.assertEqual([], self.files())

    def test_what_a_disk_is_based_on_ages_from_its_last_use(self) -> None:
        cached = self._aged()

        self.assertEqual([], self.sweep(cached))
        self.assertEqual([], self.sweep())
        self._age(cached)

        self.assertEqual([cached.path], self.sweep())

    def test_what_is_used_stays_while_all_is_swept_again_and_again(
            self) -> None:
        image = self.images.add(b'x' * 4096)
        ended = threading.Event()

        def use(number: int) -> None:
            cache = test_image_cache.make(self.root)
            for _ in range(10):
                with cache.using(image.id, self.images,
                                 test_image_cache.QUIET) as cached:
                    self.assertEqual(4096, os.stat(cached.path).st_size)

        def sweep() -> int:
            # Nothing is too young.
            cache = test_image_cache.make(self.root)
            count = 0
            while not ended.is_set():
                count += len(cache.sweep(set, -60))
                time.sleep(0)
            return count

        with futures.ThreadPoolExecutor(9) as pool:
            swept = pool.submit(sweep)
            used = [pool.submit(use, number) for number in range(8)]
            futures.wait(used)
            ended.set()
            for one in used:
                one.result()

        # Each time it was gone it was brought again, and by one.
        self.assertIn(
            len(self.images.downloads) - swept.result(), (0, 1))

    def test_what_is_used_while_it_is_looked_for_stays(self) -> None:
        image = self.images.add(b'x')
        self._age(self.use(image))
        cache = test_image_cache.make(self.root)

        def used_meanwhile() -> set[str]:
            self.use(image)
            time.sleep(0.01)
            return set()

        self.assertEqual([], cache.sweep(used_meanwhile, 0))

    def test_use_of_an_image_that_belongs_to_others_counts(self) -> None:
        cached = self._aged()
        os.utime(f'{cached.path}.json')

        self.assertEqual([], self.sweep())

    def test_use_makes_young(self) -> None:
        image = self.images.add(b'x')
        self._age(self.use(image))

        self.use(image)

        self.assertEqual([], self.sweep())

    def test_what_is_no_image_of_ours_stays(self) -> None:
        self.folder.mkdir()
        outside = pathlib.Path(self.root, 'outside')
        outside.touch()
        os.utime(outside, (0, 0))
        (self.folder / ('a' * 40)).symlink_to(outside)
        for name in ('swap_100', f'{"b" * 40}_20', 'ephemeral_1_default'):
            (self.folder / name).touch()
            os.utime(self.folder / name, (0, 0))

        self.assertEqual([], self.sweep())

        self.assertEqual(4, len(list(self.folder.iterdir())) - 1)

    def test_without_a_cache_there_is_nothing_to_do(self) -> None:
        self.assertEqual([], self.sweep())
        self.assertEqual([], self.cache.sweep_temporaries())

    def test_what_a_killed_process_left_goes(self) -> None:
        child = children.begun(self, CHILD, self.root)
        [part] = self.folder.glob('*.part')

        self.assertEqual([], self.cache.sweep_temporaries())
        child.kill()
        child.wait()
        self.assertEqual([str(part)], self.cache.sweep_temporaries())

        self.assertEqual([], self.files())
        self.assertTrue(self.use(
            self.images.add(b'x', id='killed')).fetched)

    def test_what_another_host_is_bringing_stays(self) -> None:
        self.folder.mkdir(exist_ok=True)
        for name in ('a.1@there.part', 'b.1@there.raw.part', 'c.1.part',
                     'd.1@.part'):
            (self.folder / name).touch()

        removed = self.cache.sweep_temporaries()

        self.assertEqual({'c.1.part', 'd.1@.part'},
                         {os.path.basename(path) for path in removed})

    def test_a_process_killed_within_a_conversion(self) -> None:
        tools = self.useFixture(fixtures.TempDir()).path
        tool = pathlib.Path(tools, 'qemu-img')
        tool.write_text(HANGING_TOOL)
        tool.chmod(0o755)
        image = pathlib.Path(tools, 'image')
        image.write_bytes(self.qcow2())
        child = children.begun(
            self, CONVERTING_CHILD, self.root, str(image),
            PATH=f'{tools}:{os.environ["PATH"]}')
        self.assertEqual(2, len(list(self.folder.glob('*.part'))))
        self.assertEqual([], self.cache.sweep_temporaries())

        child.kill()
        child.wait()
        self.assertEqual(2, len(self.cache.sweep_temporaries()))

        self.assertEqual([], self.files())

    def test_records_and_locks_without_an_image_go(self) -> None:
        kept = self.use(self.images.add(b'x'))
        before = self.files()
        locks = self.folder / '.locks'
        for number, path in enumerate((
                self.folder / f'{"a" * 40}.json', locks / ('b' * 40),
                self.folder / f'.{"c" * 40}.json.x7f',
                self.folder / f'.{os.path.basename(kept.path)}.json.x')):
            path.write_text(str(number))

        self.assertEqual(3, len(self.cache.sweep_temporaries()))

        self.assertEqual(before, self.files())

    def test_a_record_stays_while_its_image_is_brought(self) -> None:
        (self.folder / '.locks').mkdir(parents=True)
        path = self.folder / f'{"a" * 40}.json'
        path.touch()
        lock = locking.try_lock(str(self.folder / '.locks' / ('a' * 40)))
        assert lock is not None

        self.assertEqual([], self.cache.sweep_temporaries())
        os.close(lock)

        self.assertEqual([str(path)], self.cache.sweep_temporaries())

    def test_a_temporary_that_someone_fills_stays(self) -> None:
        self.folder.mkdir()
        path = str(self.folder / 'x.1.part')
        lock = locking.try_lock(path)
        assert lock is not None

        self.assertEqual([], self.cache.sweep_temporaries())
        os.close(lock)

        self.assertEqual([path], self.cache.sweep_temporaries())
