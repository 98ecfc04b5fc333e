# SPDX-License-Identifier: Apache-2.0

import pathlib

from nova_libvirt_driver.xmlmodel import difference
from tests import base

# Of libvirt 9.0 and QEMU 7.2.
_DATA = pathlib.Path(__file__).parent / 'data'
RUNNING = (_DATA / 'running.xml').read_text()
DEFINED = (_DATA / 'defined.xml').read_text()


def _changes(running: str, defined: str) -> list[str]:
    return [line for line in difference.diff(running, defined)
            if line[0] in '+-']


class DiffTest(base.TestCase):

    def test_what_a_start_adds_is_no_difference(self) -> None:
        self.assertEqual([], list(difference.diff(RUNNING, DEFINED)))

    def test_a_change_is_marked_by_what_it_needs(self) -> None:
        for old, new, mark in (
                ("cache='none'", "cache='writeback'", 'reboot'),
                ("machine='pc-q35-7.2'", "machine='pc-q35-7.1'", 'reboot'),
                ('<memory unit=\'KiB\'>65536', "<memory unit='KiB'>99999",
                 'reboot'),
                ("service='10123'", "service='10124'", 'reboot'),
                ("listen='127.0.0.1'", "listen='0.0.0.0'", 'reboot'),
                ('<nova:name>a<', '<nova:name>b<', 'live'),
                ("period='10'", "period='5'", 'live'),
                ('/srv/a/c.iso', '/srv/a/d.iso', 'live')):
            with self.subTest(new=new):
                self.assertIn(old, DEFINED)
                changes = _changes(RUNNING, DEFINED.replace(old, new))

                self.assertEqual(['-', '+'],
                                 [line[0] for line in changes])
                self.assertEqual({f'({mark})'}, {
                    line.split('  ')[-1] for line in changes})

    def test_a_cpu_that_was_checked_is_the_one_that_was_asked_for(
            self) -> None:
        one = ("<domain id='1'><cpu mode='custom' check='full'><model>a"
               "</model><feature name='x'/><feature name='y'/></cpu>"
               '</domain>')
        other = ("<domain><cpu mode='custom' check='none'><model>{}</model>"
                 "<feature name='x'/></cpu></domain>")

        self.assertEqual([], _changes(one, other.format('a')))
        self.assertEqual(2, len(_changes(one, other.format('b'))))

    def test_order_is_no_difference(self) -> None:
        one = ("<domain id='1'><a y='1' x='2'/><devices><disk><target "
               "dev='vda'/></disk><disk><target dev='vdb'/></disk></devices>"
               '</domain>')
        other = ('<domain><devices><disk><target dev="vdb"/></disk>\n<disk>'
                 '<target dev="vda"/></disk></devices><a x="2" y="1"/>'
                 '</domain>')

        self.assertEqual([], list(difference.diff(one, other)))

    def test_comments_are_no_difference(self) -> None:
        one = "<domain id='1'><title>a<!-- b --></title></domain>"
        other = '<domain><!-- c --><title>a</title></domain>'

        self.assertEqual([], _changes(one, other))

    def test_a_device_that_is_defined_only_is_shown_whole(self) -> None:
        one = "<domain id='1'><devices/></domain>"
        other = ("<domain><devices><disk><source file='/a&amp;b'/></disk>"
                 '</devices></domain>')

        self.assertEqual([
            '@@ -1,3 +1,7 @@', ' <domain>', '-  <devices/>  (reboot)',
            '+  <devices>  (reboot)', '+    <disk>  (reboot)',
            "+      <source file='/a&amp;b'/>  (reboot)",
            '+    </disk>  (reboot)', '+  </devices>  (reboot)',
            ' </domain>'], list(difference.diff(one, other)))
