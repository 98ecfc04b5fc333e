# SPDX-License-Identifier: Apache-2.0

"""The XML of servers, and how a running one differs from its definition."""

import pathlib

from lxml import etree

from nova_libvirt_driver.cli import xml_diff
from nova_libvirt_driver.spec import instance as instance_spec
from tests import base
from tests.unit.cli import base as cli_base

# Of libvirt 9.0 and QEMU 7.2.
_DATA = pathlib.Path(__file__).parent / 'data'
RUNNING = (_DATA / 'running.xml').read_text()
DEFINED = (_DATA / 'defined.xml').read_text()


def _changes(running: str, defined: str) -> list[str]:
    return [line for line in xml_diff.diff(running, defined)
            if line[0] in '+-']


class DiffTest(base.TestCase):

    def test_what_a_start_adds_is_no_difference(self) -> None:
        self.assertEqual([], list(xml_diff.diff(RUNNING, DEFINED)))

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

        self.assertEqual([], list(xml_diff.diff(one, other)))

    def test_a_device_that_is_defined_only_is_shown_whole(self) -> None:
        one = "<domain id='1'><devices/></domain>"
        other = ("<domain><devices><disk><source file='/a&amp;b'/></disk>"
                 '</devices></domain>')

        self.assertEqual([
            '@@ -1,3 +1,7 @@', ' <domain>', '-  <devices/>  (reboot)',
            '+  <devices>  (reboot)', '+    <disk>  (reboot)',
            "+      <source file='/a&amp;b'/>  (reboot)",
            '+    </disk>  (reboot)', '+  </devices>  (reboot)',
            ' </domain>'], list(xml_diff.diff(one, other)))


class XmlTest(cli_base.ServerTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.uuid, = self.have('a')
        self.driver.xml[self.uuid] = (RUNNING, DEFINED)

    def test_the_xml_is_that_of_now_or_of_the_next_start(self) -> None:
        now = self.type('server', 'show-xml', 'a')
        then = self.type('server', 'show-xml', 'a', '--inactive')

        self.assertEqual((RUNNING.rstrip(), DEFINED.rstrip()),
                         (now.stdout.rstrip(), then.stdout.rstrip()))

    def test_xml_does_not_move_the_cursor_and_stays_the_same(self) -> None:
        xml = RUNNING.replace('<nova:name>a<', '<nova:name>a\x9b2Jb<')
        self.driver.xml[self.uuid] = (xml, DEFINED)

        shown = self.type('server', 'show-xml', 'a').stdout

        self.assertNotIn('\x9b', shown)
        self.assertEqual(etree.canonicalize(xml), etree.canonicalize(shown))

    def test_no_difference_is_silence(self) -> None:
        self.assertEqual(cli_base.Result(0, '', ''),
                         self.type('server', 'diff', 'a'))

    def test_a_difference_has_a_code_of_its_own(self) -> None:
        self.driver.xml[self.uuid] = (
            RUNNING, DEFINED.replace("cache='none'", "cache='unsafe'"))

        result = self.type('server', 'diff', 'a')

        self.assertEqual((1, ''), (result.code, result.stderr))
        self.assertTrue(result.stdout.startswith(
            '--- a as it runs\n+++ a as it is defined\n@@ '))
        self.assertIn(
            "+      <driver cache='unsafe' name='qemu' type='qcow2'/>  "
            '(reboot)\n', result.stdout)

    def test_a_stopped_server_has_nothing_to_compare(self) -> None:
        self.driver.xml[self.uuid] = (DEFINED, DEFINED)
        self.driver.power_off(instance_spec.InstanceRef(self.uuid, 'a'))

        result = self.type('server', 'diff', 'a')

        self.assertEqual(4, result.code)
        self.assertIn('instance a is stopped', result.stderr)
