# SPDX-License-Identifier: Apache-2.0

"""What is in the image cache, and what of it goes."""

import json
import os

from nova_libvirt_driver.storage import image_cache
from tests.unit.cli import base


class CacheTest(base.ServerTestCase):

    def cached(self, image_id: str) -> str:
        """Put an image into the cache; return its key."""
        folder = self.folder / 'instances' / '_base'
        folder.mkdir(parents=True, exist_ok=True)
        key = image_cache.key_of(image_id)
        (folder / key).write_bytes(bytes(8192))
        (folder / f'{key}.json').write_text(json.dumps(
            {'format': 'raw', 'virtual_size': 3 << 20}))
        for name in (key, f'{key}.json'):
            os.utime(folder / name, (0, 86400))
        return key

    def test_nothing_is_cached_at_first(self) -> None:
        self.assertEqual([], self.answer('cache', 'show'))

    def test_each_has_its_image_its_size_and_its_last_use(self) -> None:
        key = self.cached(self.have_image('debian'))
        other = self.cached('of another host')

        rows = {row['Key']: row for row in self.answer('cache', 'show')}

        self.assertEqual({
            'Key': key, 'Image': 'debian', 'Format': 'raw', 'Size MiB': 3,
            'Taken MiB': 0, 'In use': False,
            'Last used': '1970-01-02T00:00:00Z'}, rows[key])
        self.assertEqual('', rows[other]['Image'])

    def test_a_damaged_record_costs_itself(self) -> None:
        key = self.cached('x')
        record = self.folder / 'instances' / '_base' / f'{key}.json'
        record.write_text('{"format": 3, "virtual_size": "x"}')

        row, = self.answer('cache', 'show')

        self.assertIsNone(row['Size MiB'])
        record.write_text('{')
        self.assertEqual('', self.answer('cache', 'show')[0]['Format'])

    def test_it_is_cleaned_when_that_is_confirmed(self) -> None:
        self.assertEqual(2, self.type('cache', 'clean').code)
        self.assertEqual([], self.answer('cache', 'clean', '--yes'))
        self.assertEqual(1, self.driver.tidyings)
