# SPDX-License-Identifier: Apache-2.0

"""Every declared field of every element is written, read and removed."""

from typing import Any

import hypothesis
from hypothesis import strategies

from nova_libvirt_driver.xmlmodel.devices import disk
from nova_libvirt_driver.xmlmodel import domain
from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields
from tests import base
from tests.unit.xmlmodel import kinds

# A new type of field has to be put here. Two values each: one alone could
# be what the field returns always.
_VALUES: dict[type[Any], tuple[Any, ...]] = {
    fields.Text: ('a "<b>" & c', "it's\ttwo\nlines"),
    fields.Integer: (7, 0),
    fields.YesNo: (False, True),
    fields.OnOff: (True, False),
    fields.CpuSet: (frozenset({0, 1, 2, 9}), frozenset({4})),
    fields.Flag: (True,),
    fields.Size: (4096, 1),
}

_TEXTS = strategies.text(min_size=1)


def written(kind: type[element.Element], name: str, value: Any) -> str:
    """Return the XML of an element with one field set."""
    made = kind()
    setattr(made, name, value)
    return made.to_xml()


class FieldTest(base.TestCase):

    def test_there_are_many(self) -> None:
        self.assertGreater(len(list(kinds.declared(fields.Field))), 300)

    def test_each_is_written_and_read_from_the_same_place(self) -> None:
        for kind, name, field in kinds.declared(fields.Field):
            for value in _VALUES[type(field)]:
                again = kind.parse(written(kind, name, value))

                self.assertEqual(
                    value, getattr(again, name), f'{kind.__name__}.{name}')

    def test_each_has_the_value_at_once(self) -> None:
        for kind, name, field in kinds.declared(fields.Field):
            made = kind()
            for value in _VALUES[type(field)]:
                setattr(made, name, value)

                self.assertEqual(
                    value, getattr(made, name), f'{kind.__name__}.{name}')

    def test_each_can_be_removed_without_a_trace(self) -> None:
        for kind, name, field in kinds.declared(fields.Field):
            made = kind.parse(written(kind, name, _VALUES[type(field)][0]))

            setattr(made, name, None)

            label = f'{kind.__name__}.{name}'
            self.assertIsNone(getattr(made, name), label)
            self.assertEqual(kind().canonical(), made.canonical(), label)

    def test_each_writes_something_of_its_own(self) -> None:
        for kind in kinds.all_kinds():
            paths = [field.path for field in fields.declared(kind).values()
                     if isinstance(field, fields.Field)]
            self.assertEqual(len(paths), len(set(paths)), kind.__name__)

    def test_each_refuses_what_xml_cannot_hold_by_name(self) -> None:
        for kind, name, _ in kinds.declared(fields.Text):
            made = kind()

            error = self.assertRaises(
                ValueError, setattr, made, name, 'canary \x07')

            self.assertIn(f'{kind.__name__}.{name}', str(error))
            self.assertIn('U+0007', str(error))
            self.assertNotIn('canary', str(error))
            self.assertEqual(kind().canonical(), made.canonical(), name)


class ChildTest(base.TestCase):

    def test_each_child_is_where_the_model_looks_for_it(self) -> None:
        for kind, name, field in kinds.declared(fields.Child):
            self.assertEqual(
                field.kind.TAG, fields.split(field.path)[-1], name)
            made = kind()

            self.assertIsNone(getattr(made, name).peek(), name)
            setattr(made, name, field.kind())

            again = kind.parse(made.to_xml())
            self.assertIsNotNone(getattr(again, name).peek(), name)

    def test_each_child_can_be_removed_with_what_is_in_it(self) -> None:
        for kind, name, field in kinds.declared(fields.Child):
            made = kind()
            inner = field.kind()
            inner.element.set('unknown', 'yes')
            setattr(made, name, inner)

            setattr(made, name, None)

            self.assertEqual(kind().canonical(), made.canonical(), name)

    def test_another_child_takes_the_place_of_the_first(self) -> None:
        made = domain.Domain.parse(
            '<domain><os><type>hvm</type></os><name>one</name></domain>')
        other = domain.Domain.parse('<domain><os><kernel>k</kernel></os>'
                                    '</domain>')

        made.os = other.os

        self.assertEqual(
            '<domain><os><kernel>k</kernel></os><name>one</name></domain>',
            made.to_xml(pretty=False))


class ChildrenTest(base.TestCase):

    def test_each_kind_is_added_found_and_removed(self) -> None:
        for kind, name, field in kinds.declared(fields.Children):
            made = kind()
            first, second = (getattr(made, name).add() for _ in range(2))
            self.assertIsInstance(first, field.kind)

            again = kind.parse(made.to_xml())
            self.assertEqual(2, len(getattr(again, name)), name)
            getattr(made, name).remove(first)
            self.assertEqual([second.element], [
                one.element for one in getattr(made, name)], name)
            setattr(made, name, None)
            self.assertEqual(kind().canonical(), made.canonical(), name)

    def test_all_can_be_replaced(self) -> None:
        made = domain.Domain()
        made.devices.disks.add().serial = 'old'
        new = [disk.Disk(), disk.Disk()]
        for number, one in enumerate(new):
            one.serial = str(number)

        made.devices.disks = new

        self.assertEqual(['0', '1'], [
            one.serial for one in made.devices.disks])

    def test_an_element_of_another_list_is_not_removed(self) -> None:
        made, other = domain.Domain(), domain.Domain()
        made.devices.disks.add()
        stranger = other.devices.disks.add()

        sibling = disk.Disk(made.devices.interfaces.add().element)
        for one in (stranger, disk.Disk(), sibling):
            self.assertRaises(ValueError, made.devices.disks.remove, one)

        self.assertEqual((1, 1), (len(made.devices.interfaces),
                                  len(other.devices.disks)))


class TextTest(base.TestCase):

    @hypothesis.given(_TEXTS)
    def test_what_xml_can_hold_comes_back(self, text: str) -> None:
        made = domain.Domain()
        try:
            made.title = text
            made.os.machine = text
        except ValueError:
            self.assertTrue(element.forbidden(text))
            return

        for pretty in (True, False):
            again = domain.Domain.parse(made.to_xml(pretty=pretty))
            self.assertEqual((text, text), (again.title, again.os.machine))

    def test_what_cannot_be_held_is_what_lxml_refuses(self) -> None:
        node = domain.Domain().element
        for code in (*range(0x100), 0x2028, 0xd7ff, 0xd800, 0xdfff, 0xe000,
                     0xfffd, 0xfffe, 0xffff, 0x1f600, 0x10ffff):
            try:
                node.text = chr(code)
                refused = False
            except ValueError:
                refused = True
            self.assertEqual(
                refused, bool(element.forbidden(chr(code))), hex(code))

    def test_a_refused_value_leaves_the_old_one(self) -> None:
        made = domain.Domain()
        made.name = 'old'

        self.assertRaises(ValueError, setattr, made, 'name', 'new\x00')

        self.assertEqual('old', made.name)

    def test_text_around_comments_is_one_text(self) -> None:
        made = domain.Domain.parse(
            '<domain><name>a<!-- one -->b<?two three?>c</name></domain>')
        self.assertEqual('abc', made.name)

        made.name = 'd'

        self.assertEqual('d', made.name)
        self.assertIn('<!-- one -->', made.to_xml())


class ReadingTest(base.TestCase):

    def test_values_of_another_form_are_refused_by_name(self) -> None:
        for xml, name in (
                ('<vcpu>two</vcpu>', 'vcpus'),
                ('<vcpu cpuset="3-1"/>', 'vcpu_cpuset'),
                ('<memory>1.5</memory>', 'memory_kib'),
                ('<memory unit="hogshead">1</memory>', 'memory_kib')):
            made = domain.Domain.parse(f'<domain>{xml}</domain>')

            error = self.assertRaises(ValueError, getattr, made, name)

            self.assertIn(f'Domain.{name}', str(error))

    def test_a_choice_of_another_word_is_refused_by_name(self) -> None:
        made = domain.Domain.parse(
            '<domain><os><loader secure="maybe"/></os></domain>')

        error = self.assertRaises(
            ValueError, getattr, made.os, 'loader_secure')

        self.assertIn('Os.loader_secure', str(error))

    def test_a_flag_goes_with_what_is_in_it(self) -> None:
        made = domain.Domain.parse(
            '<domain><features><apic eoi="on"/><acpi/></features></domain>')

        made.features.apic = False

        self.assertIsNone(made.features.apic)
        self.assertEqual('<domain><features><acpi/></features></domain>',
                         made.to_xml(pretty=False))

    def test_what_else_is_in_a_path_stays(self) -> None:
        made = domain.Domain.parse(
            '<domain><os><loader secure="yes" new="x">/l</loader></os>'
            '</domain>')

        made.os.loader = None
        made.os.loader_secure = None

        self.assertEqual('<domain><os><loader new="x"/></os></domain>',
                         made.to_xml(pretty=False))
