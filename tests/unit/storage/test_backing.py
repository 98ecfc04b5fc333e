# SPDX-License-Identifier: Apache-2.0

import os
import pathlib
import struct
import subprocess

import fixtures

from nova_libvirt_driver.storage import backing
from tests import base


class BackingTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = str(self.folder / 'disk')
        self.base = self.folder / 'base'
        self.base.write_bytes(b'x' * 4096)

    def _disk(self, *options: str) -> None:
        subprocess.check_call(['qemu-img', 'create', '-q', '-f', 'qcow2',
                               *options, self.path, '1M'], cwd=self.folder)

    def _base(self) -> str | None:
        found = backing.base(self.path)
        return None if found is None else found.path

    def test_a_disk_names_its_base(self) -> None:
        self._disk('-b', str(self.base), '-F', 'raw')

        self.assertEqual(str(self.base), self._base())

    def test_a_relative_name_counts_from_the_disk(self) -> None:
        self._disk('-b', './base', '-F', 'raw')

        self.assertEqual(str(self.base), self._base())

    def test_a_disk_by_itself_has_none(self) -> None:
        self._disk()

        self.assertIsNone(backing.base(self.path))

    def test_any_bytes_may_be_on_a_disk(self) -> None:
        for content in (
                b'', b'QFI\xfb', os.urandom(4096),
                *(struct.pack('>4sIQI', b'QFI\xfb', 3, offset, length)
                  for offset, length in (
                      (72, 1 << 31), (72, 0), (0, 9), (1 << 62, 9),
                      ((1 << 64) - 1, 9)))):
            pathlib.Path(self.path).write_bytes(content)

            self.assertIsNone(backing.base(self.path))
