# SPDX-License-Identifier: Apache-2.0

import os
import pathlib
import struct

import fixtures

from nova_libvirt_driver.storage import record
from nova_libvirt_driver.storage import usage
from tests import base

_MIB = 1 << 20
UUID = '5d1f7f5c-6b1e-4d8a-9c41-2f6f5e0a7b11'


class UsageTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.disk = self.path / UUID / 'disk'
        self.disk.parent.mkdir()
        record.write(
            str(self.disk.parent / 'disk.info'), str(self.disk), 'qcow2')

    def test_the_disks_of_one_instance(self) -> None:
        name = b'../_base/image'
        content = struct.pack('>4sIQIIQ', b'QFI\xfb', 3, 512, len(name), 16,
                              5 * _MIB)
        self.disk.write_bytes(content.ljust(512, b'\0') + name)

        found, = usage.disks(str(self.disk.parent))

        self.assertEqual(
            (str(self.disk), 'qcow2', 5 * _MIB,
             str(self.path / '_base' / 'image')),
            (found.path, found.format, found.size_bytes, found.backing_file))
        self.assertEqual(
            self.disk.stat().st_blocks * 512, found.taken_bytes)
        self.assertEqual([], usage.disks(str(self.path / 'none')))

    def test_what_is_no_disk_is_left_out(self) -> None:
        self.assertEqual([], usage.disks(str(self.disk.parent)))

        self.disk.write_bytes(b'short')
        self.assertEqual([], usage.disks(str(self.disk.parent)))

        self.disk.unlink()
        os.mkfifo(self.disk)
        self.assertEqual([], usage.disks(str(self.disk.parent)))
