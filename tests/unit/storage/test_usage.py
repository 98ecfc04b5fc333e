# SPDX-License-Identifier: Apache-2.0

import pathlib
import struct

import fixtures

from nova_libvirt_driver.storage import record
from nova_libvirt_driver.storage import usage
from tests import base

_MIB = 1 << 20


class UsageTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.usage = usage.Usage(str(self.path))

    def disk(self, guest: str, format: str, content: bytes) -> pathlib.Path:
        path = self.path / guest / 'disk'
        path.parent.mkdir()
        path.write_bytes(content)
        record.write(str(path.parent / 'disk.info'), str(path), format)
        return path

    def sparse(self, guest: str, size_bytes: int) -> None:
        with self.disk(guest, 'raw', b'').open('wb') as file:
            file.truncate(size_bytes)

    def test_disks_grow_to_their_size(self) -> None:
        self.sparse('guest1', 3 * _MIB)
        content = struct.pack('>4sIQIIQ', b'QFI\xfb', 3, 0, 0, 16, 5 * _MIB)
        qcow2 = self.disk('guest2', 'qcow2', content.ljust(4096, b'\0'))

        taken = qcow2.stat().st_blocks * 512
        self.assertEqual(8 * _MIB - taken, self.usage.growth_bytes())

    def test_the_disks_of_one_instance(self) -> None:
        uuid = '5d1f7f5c-6b1e-4d8a-9c41-2f6f5e0a7b11'
        name = b'../_base/image'
        content = struct.pack('>4sIQIIQ', b'QFI\xfb', 3, 512, len(name), 16,
                              5 * _MIB)
        path = self.disk(uuid, 'qcow2', content.ljust(512, b'\0') + name)

        disk, = self.usage.disks(uuid)

        self.assertEqual(
            (str(path), 'qcow2', 5 * _MIB,
             str(self.path / '_base' / 'image')),
            (disk.path, disk.format, disk.size_bytes, disk.backing_file))
        self.assertEqual(path.stat().st_blocks * 512, disk.taken_bytes)
        self.assertEqual([], self.usage.disks(
            '00000000-0000-4000-8000-000000000000'))

    def test_what_cannot_be_read_counts_as_nothing(self) -> None:
        self.disk('guest1', 'qcow2', b'short')
        self.disk('guest2', 'raw', b'').unlink()
        (self.path / 'guest3').mkdir()
        (self.path / 'guest3' / 'disk.info').write_text('damaged')
        self.sparse('guest4', _MIB)

        self.assertEqual(_MIB, self.usage.growth_bytes())

    def test_a_record_speaks_of_its_own_folder_only(self) -> None:
        self.sparse('guest1', _MIB)
        (self.path / 'guest2').mkdir()
        record.write(str(self.path / 'guest2' / 'disk.info'),
                     str(self.path / 'guest1' / 'disk'), 'raw')

        self.assertEqual(_MIB, self.usage.growth_bytes())

    def test_cached_images_take_room(self) -> None:
        self.assertEqual(0, self.usage.image_cache_bytes())
        (self.path / '_base').mkdir()
        (self.path / '_base' / 'image').write_bytes(b'x' * 8192)

        self.assertGreaterEqual(self.usage.image_cache_bytes(), 8192)

    def test_a_folder_that_is_not_there_yet(self) -> None:
        nowhere = usage.Usage(str(self.path / 'nowhere'))

        self.assertEqual(0, nowhere.growth_bytes())
        self.assertEqual(0, nowhere.image_cache_bytes())
