# SPDX-License-Identifier: Apache-2.0

import contextlib
import gc
import os
import pathlib
import struct

import fixtures

from nova_libvirt_driver.calls import calls
from nova_libvirt_driver.storage import record
from nova_libvirt_driver.storage import survey
from tests import base

_MIB = 1 << 20
_UUIDS = ('0f6a3f0e-8a55-4b62-9d0c-2a4c1be0a7d1',
          '0f6a3f0e-8a55-4b62-9d0c-2a4c1be0a7d2')


class SurveyTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.survey = self.survey_of(self.path)

    def survey_of(self, path: pathlib.Path) -> survey.Survey:
        return survey.Survey(
            str(path), str(path / '_base'),
            calls.make(host='here', limit=2), timeout_s=20, max_age_s=0)

    def disk(
            self, guest: str, format: str,
            content: bytes = b'') -> pathlib.Path:
        path = self.path / guest / 'disk'
        path.parent.mkdir()
        path.write_bytes(content)
        record.write(str(path.parent / 'disk.info'), str(path), format)
        return path

    def sparse(self, guest: str, size_bytes: int) -> pathlib.Path:
        path = self.disk(guest, 'raw')
        os.truncate(path, size_bytes)
        return path

    def growth_bytes(self) -> int:
        return self.survey.take().growth_bytes

    def test_disks_grow_to_their_size(self) -> None:
        self.sparse('guest1', 3 * _MIB)
        content = struct.pack('>4sIQIIQ', b'QFI\xfb', 3, 0, 0, 16, 5 * _MIB)
        qcow2 = self.disk('guest2', 'qcow2', content.ljust(4096, b'\0'))

        taken = qcow2.stat().st_blocks * 512
        for _ in range(2):
            self.assertEqual(8 * _MIB - taken, self.growth_bytes())

    def test_who_is_in_rescue_has_the_xml_of_before(self) -> None:
        for uuid, name in ((_UUIDS[0], 'unrescue.xml'), (_UUIDS[1], 'disk')):
            (self.path / uuid).mkdir()
            (self.path / uuid / name).touch()
        (self.path / '_base').mkdir()

        self.assertEqual({_UUIDS[0]}, self.survey.rescued())
        self.assertEqual(frozenset(), self.survey_of(
            self.path / 'none').rescued())

    def test_its_threads_keep_nothing_open(self) -> None:
        # In an eventlet process they are native, and must not get a hub.
        def hubs() -> int:
            count = 0
            for link in pathlib.Path('/proc/self/fd').iterdir():
                # Other threads may close some meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    count += '[eventpoll]' in os.readlink(link)
            return count

        gc.collect()
        before = hubs()
        for number in range(30):
            self.sparse(f'guest{number}', _MIB)
            self.growth_bytes()

        self.assertLessEqual(hubs(), before)

    def test_what_changes_is_looked_at_again(self) -> None:
        path = self.sparse('guest1', 3 * _MIB)
        self.assertEqual(3 * _MIB, self.growth_bytes())

        with path.open('r+b') as file:
            file.write(bytes(_MIB))
        self.assertEqual(2 * _MIB, self.growth_bytes())

        os.truncate(path, 5 * _MIB)
        self.assertEqual(4 * _MIB, self.growth_bytes())

        self.sparse('guest2', _MIB)
        self.assertEqual(5 * _MIB, self.growth_bytes())

        path.unlink()
        self.assertEqual(_MIB, self.growth_bytes())

    def test_what_cannot_be_read_counts_as_nothing(self) -> None:
        self.disk('guest1', 'qcow2', b'short')
        self.disk('guest2', 'raw').unlink()
        (self.path / 'guest3').mkdir()
        (self.path / 'guest3' / 'disk.info').write_text('damaged')
        self.sparse('guest4', _MIB)

        self.assertEqual(_MIB, self.growth_bytes())

    def test_what_is_no_file_is_not_opened(self) -> None:
        for guest, format in (('guest1', 'raw'), ('guest2', 'qcow2')):
            path = self.disk(guest, format)
            path.unlink()
            # To open it waits for whoever writes to it.
            os.mkfifo(path)

        self.assertEqual(0, self.growth_bytes())

    def test_a_record_that_cannot_be_read_now_is_read_later(self) -> None:
        path = self.sparse('guest1', _MIB)
        info = path.parent / 'disk.info'
        content = info.read_bytes()
        status = info.stat()
        info.write_bytes(b'[' * len(content))
        os.utime(info, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.assertEqual(0, self.growth_bytes())

        info.write_bytes(content)
        os.utime(info, ns=(status.st_atime_ns, status.st_mtime_ns))

        self.assertEqual(_MIB, self.growth_bytes())

    def test_a_record_speaks_of_its_own_folder_only(self) -> None:
        self.sparse('guest1', _MIB)
        (self.path / 'guest2').mkdir()
        record.write(str(self.path / 'guest2' / 'disk.info'),
                     str(self.path / 'guest1' / 'disk'), 'raw')

        self.assertEqual(_MIB, self.growth_bytes())

    def test_cached_images_take_room(self) -> None:
        self.assertEqual(0, self.survey.take().image_cache_bytes)
        (self.path / '_base').mkdir()
        (self.path / '_base' / 'image').write_bytes(b'x' * 8192)

        self.assertGreaterEqual(self.survey.take().image_cache_bytes, 8192)

    def test_a_folder_that_is_not_there_yet(self) -> None:
        found = self.survey_of(self.path / 'not' / 'yet').take()

        self.assertEqual((0, 0), (
            found.growth_bytes, found.image_cache_bytes))
        self.assertEqual(
            self.survey.take().total_bytes, found.total_bytes)
