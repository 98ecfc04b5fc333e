# SPDX-License-Identifier: Apache-2.0

import pathlib

from lxml import etree

from nova_libvirt_driver.testing import guests
from tests import base


class BootSectorTest(base.TestCase):
    """The boot sector as bytes; a functional test boots it."""

    def test_sector_is_one_sector_with_a_signature(self) -> None:
        sector = guests.boot_sector('up')

        self.assertEqual(512, len(sector))
        self.assertEqual(b'\x55\xaa', sector[-2:])
        self.assertIn(b'up\r\n\0', sector)

    def test_longest_message_fits_beside_the_signature(self) -> None:
        message = 'm' * guests.MESSAGE_MAX_BYTES

        sector = guests.boot_sector(message)

        self.assertEqual(512, len(sector))
        self.assertTrue(
            sector.endswith(message.encode() + b'\r\n\0\x55\xaa'))

    def test_message_that_cannot_be_written_is_refused(self) -> None:
        for message in ('m' * (guests.MESSAGE_MAX_BYTES + 1), 'a\0b', 'é'):
            self.assertRaises(ValueError, guests.boot_sector, message)

    def test_one_that_counts_begins_with_zero(self) -> None:
        for sector in (guests.counting_sector(), guests.writing_sector(0x81)):
            self.assertEqual(512, len(sector))
            self.assertTrue(
                sector[0x100:].startswith(b'00000000\r\n\0'))


class GuestXmlTest(base.TestCase):
    """The XML of guests, read back."""

    def test_boot_guest_names_the_format_of_its_disk(self) -> None:
        xml = guests.boot_guest_xml(
            'one', pathlib.Path('/d/a&b.img'), '/d/log', memory_mib=48)

        domain = etree.fromstring(xml)

        self.assertEqual('qemu', domain.get('type'))
        self.assertEqual('48', domain.findtext('memory'))
        self.assertEqual('32', domain.findtext('features/tcg/tb-cache'))
        disk = domain.find('devices/disk')
        assert disk is not None
        self.assertEqual(['raw'], disk.xpath('driver/@type'))
        self.assertEqual(['/d/a&b.img'], disk.xpath('source/@file'))
        self.assertIsNone(domain.find('devices/interface'))
        self.assertIsNone(domain.find('devices/graphics'))

    def test_uuid_is_taken_or_made(self) -> None:
        given = guests.guest_xml_for_test_driver('one', uuid='u-1')

        made = [etree.fromstring(guests.guest_xml_for_test_driver('one'))
                .findtext('uuid') for _ in range(2)]

        self.assertEqual('u-1', etree.fromstring(given).findtext('uuid'))
        self.assertNotEqual(made[0], made[1])
