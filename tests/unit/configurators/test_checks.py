# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver.configurators import checks
from tests import base


class TextTest(base.TestCase):

    def test_all_that_xml_can_hold_stays(self) -> None:
        for good in ('a\tb\nc', '<&>"\'', 'ä☃\U0001f600', ''):
            self.assertEqual(good, checks.clean(good))

    def test_what_xml_cannot_hold_goes(self) -> None:
        for bad in ('\0', '\x0b', '\x1b', '\ud800', '\uffff', '\ufffe'):
            self.assertEqual('ab', checks.clean(f'a{bad}b'))

    def test_plain_text_is_one_line(self) -> None:
        self.assertTrue(checks.is_plain('/a/ü ☃/<b>'))
        for bad in ('\n', '\r', '\t', '\x7f', '\x85', '\u2028', '\0'):
            self.assertFalse(checks.is_plain(f'a{bad}b'), ascii(bad))
