# SPDX-License-Identifier: Apache-2.0

"""The XML of servers, and how a running one differs from its definition."""

import pathlib

from lxml import etree

from nova_libvirt_driver.spec import instance as instance_spec
from tests.unit.cli import base as cli_base

# Of libvirt 9.0 and QEMU 7.2.
_DATA = pathlib.Path(__file__).parents[3] / 'xmlmodel' / 'data'
RUNNING = (_DATA / 'running.xml').read_text()
DEFINED = (_DATA / 'defined.xml').read_text()


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
