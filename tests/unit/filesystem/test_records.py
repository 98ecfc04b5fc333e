# SPDX-License-Identifier: Apache-2.0

import json
import os
import pathlib

import fixtures

from nova_libvirt_driver.filesystem import records
from tests import base

ODD = {
    'empty': b'', 'zeros': b'\0' * 4096, 'deep list': b'[' * 100_000,
    'deep object': b'{"a":' * 100_000, 'list': b'[]', 'null': b'null',
    'no text': b'\xff\xfe\xfd', 'long number': b'{"a":' + b'9' * 5000 + b'}',
    'not a number': b'{"a": NaN}', 'infinite': b'{"a": -Infinity}',
    'too large': b'{"a": 1e999}', 'twice': b'{"a": 1, "a": 2}',
    'rest': b'{} {}', 'too long': b'{"a":"' + b'x' * (2 << 20) + b'"}',
}


class RecordsTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = str(self.folder / 'record')

    def refused(self, *, follow: bool = False) -> str:
        return str(self.assertRaises(
            records.Unreadable, records.load, self.path, follow=follow))

    def test_an_object_is_read(self) -> None:
        wanted = {'text': 'ä', 'number': 1.5, 'list': [{'a': None}]}
        pathlib.Path(self.path).write_text(json.dumps(wanted))

        self.assertEqual(wanted, records.load(self.path))

    def test_what_makes_no_sense_is_one_kind_of_error(self) -> None:
        for name, data in ODD.items():
            pathlib.Path(self.path).write_bytes(data)

            self.assertNotEqual('', self.refused(), name)

    def test_what_is_not_a_plain_file_is_not_waited_for(self) -> None:
        os.mkfifo(self.path)
        self.assertIn('plain file', self.refused())
        os.unlink(self.path)

        os.mkdir(self.path)
        self.assertIn('plain file', self.refused())
        os.rmdir(self.path)

        os.symlink('/dev/zero', self.path)
        self.assertIn('plain file', self.refused(follow=True))

    def test_a_link_is_followed_where_that_is_wanted_only(self) -> None:
        (self.folder / 'other').write_text('{}')
        os.symlink('other', self.path)

        self.assertRaises(OSError, records.load, self.path)
        self.assertEqual({}, records.load(self.path, follow=True))

    def test_what_is_missing_is_missing(self) -> None:
        self.assertRaises(FileNotFoundError, records.load, self.path)
