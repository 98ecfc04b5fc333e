# SPDX-License-Identifier: Apache-2.0

import pathlib

from lxml import etree

from benchmarks import nova_guests
from nova_libvirt_driver.guest import reach
from tests import base


class GuestTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.xml = etree.tostring(nova_guests.domain(
            11, pathlib.Path('/i/u'), pathlib.Path('/v/w')),
            encoding='unicode')

    def test_it_is_one_of_novas(self) -> None:
        mark = reach.mark_in(self.xml)

        assert mark is not None
        self.assertEqual('server-11', mark.display_name)
        self.assertEqual(
            'instance-0000000b', etree.fromstring(self.xml).findtext('name'))

    def test_prefix_is_novas_in_all_of_the_metadata(self) -> None:
        self.assertEqual(1, self.xml.count('xmlns:'))
        self.assertIn('<nova:flavor name="tiny">', self.xml)

    def test_it_has_a_disk_and_a_volume(self) -> None:
        self.assertEqual(
            ['/i/u/disk', '/v/w'],
            etree.fromstring(self.xml).xpath('devices/disk/source/@file'))
        self.assertIn(
            f'<serial>{nova_guests.volume_of(11)}</serial>', self.xml)
