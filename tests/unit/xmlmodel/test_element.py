# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver.xmlmodel.devices import disk
from nova_libvirt_driver.xmlmodel import domain
from nova_libvirt_driver.xmlmodel import element
from tests import base

STRANGE = '''<domain type="kvm" xmlns:x="urn:x">
  <name>one</name>
  <x:future kind="new"><x:deep/></x:future>
  <devices>
    <quantum model="q1"/>
    <disk type="file" novel="yes">
      <source file="/one"/>
      <target dev="vda" bus="virtio"/>
      <aura colour="green"/>
    </disk>
    <disk type="file"><source file="/two"/></disk>
  </devices>
</domain>
'''


class ElementTest(base.TestCase):

    def test_what_is_unknown_survives_a_change(self) -> None:
        made = domain.Domain.parse(STRANGE)

        made.name = 'two'
        made.devices.disks[0].source_file = '/three'

        expected = STRANGE.replace('one</name>', 'two</name>').replace(
            '"/one"', '"/three"')
        self.assertEqual(domain.Domain.parse(expected).canonical(),
                         made.canonical())

    def test_looking_changes_nothing(self) -> None:
        made = domain.Domain()

        self.assertIsNone(made.os.machine)
        self.assertIsNone(made.instance.flavor.vcpus)
        self.assertEqual(0, len(made.devices.disks))

        self.assertEqual('<domain></domain>\n', made.canonical())

    def test_a_part_comes_into_being_with_its_first_field(self) -> None:
        made = domain.Domain()

        made.instance.flavor.vcpus = 2

        again = domain.Domain.parse(made.to_xml())
        self.assertEqual(2, again.instance.flavor.vcpus)
        self.assertIn('nova:vcpus', made.to_xml())

    def test_a_part_goes_with_its_last_field(self) -> None:
        made = domain.Domain()
        made.devices.disks.add().iotune.read_bytes_sec = 5

        made.devices.disks[0].iotune.read_bytes_sec = None

        self.assertNotIn('iotune', made.to_xml())
        self.assertIn('<disk', made.to_xml())

    def test_devices_are_added_found_and_removed(self) -> None:
        made = domain.Domain.parse(STRANGE)
        added = disk.Disk()
        added.source_file = '/added'

        made.devices.disks.append(added)
        made.devices.disks.remove(made.devices.disks[1])

        self.assertEqual(['/one', '/added'], [
            one.source_file for one in made.devices.disks])

    def test_texts_are_found_without_a_model(self) -> None:
        self.assertEqual([['one', 'two'], ['x', 'y'], []], element.look_up(
            '<domain><name>one</name><title>two<!-- 2 --></title>'
            "<disk file='x'/><disk file='y'/></domain>",
            'name | title', 'disk/@file', 'uuid'))

    def test_other_documents_are_refused(self) -> None:
        for text in ('<network/>', 'no XML', '<domain>'):
            self.assertRaises(ValueError, domain.Domain.parse, text)

    def test_an_encoding_that_is_declared_does_not_matter(self) -> None:
        made = domain.Domain.parse(
            '<?xml version="1.0" encoding="iso-8859-1"?>'
            '<domain><name>\u00e9\u20ac</name></domain>')

        self.assertEqual('\u00e9\u20ac', made.name)

    def test_a_document_type_is_refused(self) -> None:
        for doctype in ('<!DOCTYPE domain>',
                        '<!DOCTYPE d SYSTEM "http://192.0.2.1/d.dtd">',
                        '<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/hosts">]'
                        '>'):
            error = self.assertRaises(
                ValueError, domain.Domain.parse,
                f'{doctype}<domain><name>one</name></domain>')
            self.assertIn('document type', str(error))

    def test_entities_are_not_expanded(self) -> None:
        evil = ('<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">'
                '<!ENTITY b "&a;&a;&a;&a;&a;">]>'
                '<domain><name>&b;</name></domain>')

        error = self.assertRaises(ValueError, domain.Domain.parse, evil)

        self.assertNotIn('aaaa', str(error))


class WritingTest(base.TestCase):

    def test_nothing_is_touched_when_it_need_not_be_pretty(self) -> None:
        text = ('<domain>\n\t<!-- one --><name>a</name>  <?two three?>\n'
                '<metadata><m:x xmlns:m="urn:m">b <m:y/> c</m:x></metadata>'
                '<devices>\n</devices></domain>')
        made = domain.Domain.parse(text)

        made.to_xml()
        made.canonical()

        self.assertEqual(text, made.to_xml(pretty=False))

    def test_compact_text_has_no_white_space_around_elements(self) -> None:
        made = domain.Domain.parse(
            '<domain>\n  <name> a </name>\n  <title>b <x/> c</title>\n'
            '  <metadata>\n    <!-- d -->\n  </metadata>\n</domain>')

        self.assertEqual(
            '<domain><name> a </name><title>b <x/> c</title>'
            '<metadata><!-- d --></metadata></domain>', made.compact())

    def test_a_part_is_written_without_what_is_around_it(self) -> None:
        made = domain.Domain.parse(STRANGE)

        text = made.devices.disks[1].to_xml(pretty=False)

        self.assertEqual(
            '<disk type="file"><source file="/two"/></disk>', text)

    def test_a_part_that_is_not_there_is_written_but_not_made(self) -> None:
        made = domain.Domain()

        self.assertEqual('<os/>\n', made.os.to_xml())
        self.assertEqual('<domain/>\n', made.to_xml())

    def test_white_space_says_nothing(self) -> None:
        one = domain.Domain.parse('<domain><os><kernel>k</kernel></os>'
                                  '<name>n</name></domain>')
        two = domain.Domain.parse('<domain>\n <os>\n  <kernel>k</kernel>'
                                  '\n\n </os><name>n</name>\n</domain>')

        self.assertEqual(one.canonical(), two.canonical())

    def test_order_of_attributes_says_nothing_but_values_do(self) -> None:
        one, two, three = (
            domain.Domain.parse(f'<domain {attributes}/>').canonical()
            for attributes in ('id="1" type="a"', 'type="a" id="1"',
                               'type="a" id="2"'))

        self.assertEqual(one, two)
        self.assertNotEqual(one, three)

    def test_the_last_device_leaves_no_white_space(self) -> None:
        made = domain.Domain.parse(
            '<domain>\n  <devices>\n    <disk/>\n  </devices>\n</domain>')

        made.devices.disks.clear()

        self.assertEqual('<domain/>', made.to_xml(pretty=False))

    def test_the_namespace_is_declared_once(self) -> None:
        made = domain.Domain()
        flavor = made.instance.flavor
        for name in ('one', 'two'):
            flavor.extra_specs.add().name = name
        made.instance.ports.add().ips.add().address = '192.0.2.1'

        self.assertEqual(1, made.to_xml().count('xmlns:nova='))
