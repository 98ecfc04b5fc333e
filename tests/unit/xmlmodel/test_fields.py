# SPDX-License-Identifier: Apache-2.0

"""Every declared field of every element is written, read and removed."""

from collections.abc import Iterator
from typing import Any

import hypothesis
from hypothesis import strategies

from nova_libvirt_driver.xmlmodel import cpuset
from nova_libvirt_driver.xmlmodel import domain
from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields
from tests import base

_VALUES: dict[type[Any], Any] = {
    fields.Text: 'a "<b>" & c',
    fields.Integer: 7,
    fields.YesNo: False,
    fields.OnOff: True,
    fields.CpuSet: frozenset({0, 1, 2, 9}),
    fields.Flag: True,
    fields.Size: 4096,
}


def kinds(kind: type[element.Element]) -> Iterator[type[element.Element]]:
    """Yield a kind of element and all that may stand below it."""
    yield kind
    for field in fields.declared(kind).values():
        if isinstance(field, (fields.Child, fields.Children)):
            yield from kinds(field.kind)


def plain_fields() -> Iterator[tuple[type[element.Element], str, Any]]:
    for kind in dict.fromkeys(kinds(domain.Domain)):
        for name, field in fields.declared(kind).items():
            if isinstance(field, fields.Field):
                yield kind, name, field


class FieldTest(base.TestCase):

    def test_there_are_many(self) -> None:
        self.assertGreater(len(list(plain_fields())), 300)

    def test_each_is_written_and_read_from_the_same_place(self) -> None:
        for kind, name, field in plain_fields():
            made = kind()
            value = _VALUES[type(field)]

            setattr(made, name, value)

            again = kind.parse(made.to_xml())
            self.assertEqual(value, getattr(again, name), field.name)

    def test_each_can_be_removed_without_a_trace(self) -> None:
        for kind, name, field in plain_fields():
            made = kind()
            empty = made.canonical()
            setattr(made, name, _VALUES[type(field)])

            setattr(made, name, None)

            self.assertIsNone(getattr(made, name), field.name)
            self.assertEqual(empty, made.canonical(), field.name)

    def test_no_two_fields_of_a_kind_share_a_place(self) -> None:
        for kind in dict.fromkeys(kinds(domain.Domain)):
            paths = [field.path for field in fields.declared(kind).values()
                     if isinstance(field, fields.Field)]
            self.assertEqual(len(paths), len(set(paths)), kind.__name__)

    def test_what_xml_cannot_hold_is_refused_by_name(self) -> None:
        made = domain.Domain()

        error = self.assertRaises(
            ValueError, setattr, made, 'name', 'bell \x07')

        self.assertIn('Domain.name', str(error))

    def test_a_size_is_read_in_any_unit(self) -> None:
        for text, kib in (('<memory unit="GiB">1</memory>', 1 << 20),
                          ('<memory unit="b">2048</memory>', 2),
                          ('<memory>512</memory>', 512)):
            made = domain.Domain.parse(f'<domain>{text}</domain>')
            self.assertEqual(kib, made.memory_kib)


class CpuSetTest(base.TestCase):

    @hypothesis.given(strategies.frozensets(strategies.integers(0, 300)))
    def test_what_is_written_is_read(self, numbers: frozenset[int]) -> None:
        self.assertEqual(numbers, cpuset.parse(cpuset.write(numbers)))

    def test_ranges_and_exceptions(self) -> None:
        self.assertEqual({0, 1, 3, 9}, cpuset.parse('0-3, ^2, 9'))
        self.assertEqual('0-1,3', cpuset.write([3, 0, 1]))
