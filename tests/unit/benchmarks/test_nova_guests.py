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
            11, *map(pathlib.Path, ('/i/u', '/v/w', '/v/x'))),
            encoding='unicode')

    def test_it_is_one_of_novas(self) -> None:
        mark = reach.mark_in(self.xml)

        assert mark is not None
        self.assertEqual('server-11', mark)
        self.assertEqual(
            'instance-0000000b', etree.fromstring(self.xml).findtext('name'))

    def test_prefix_is_novas_in_all_of_the_metadata(self) -> None:
        self.assertEqual(1, self.xml.count('xmlns:'))
        self.assertIn('<nova:flavor name="tiny">', self.xml)

    def test_it_has_a_disk_and_volumes(self) -> None:
        self.assertEqual(
            ['/i/u/disk', '/v/w', '/v/x'],
            etree.fromstring(self.xml).xpath('devices/disk/source/@file'))
        self.assertEqual(['w', 'x'], etree.fromstring(self.xml).xpath(
            'devices/disk/serial/text()'))
