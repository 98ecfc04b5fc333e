# SPDX-License-Identifier: Apache-2.0

import json
import typing

import hypothesis
from hypothesis import strategies

from nova_libvirt_driver import exception
from nova_libvirt_driver.images import description
from nova_libvirt_driver.spec import image as image_spec
from tests import base

ID = '11111111-2222-3333-4444-555555555555'
_TEXT = strategies.text(max_size=30)


def image(**fields: typing.Any) -> image_spec.Image:
    return image_spec.Image(**{
        'id': ID, 'disk_format': 'raw', 'size_bytes': 1, **fields})


class DescriptionTest(base.TestCase):

    @hypothesis.given(strategies.builds(
        image_spec.Image, id=_TEXT, disk_format=_TEXT, name=_TEXT,
        size_bytes=strategies.integers(min_value=0),
        properties=strategies.dictionaries(_TEXT, _TEXT, max_size=3)))
    @hypothesis.settings(max_examples=50, deadline=None)
    def test_what_is_written_is_read(
            self, described: image_spec.Image) -> None:
        self.assertEqual(
            described, description.loads(description.dumps(described)))

    def test_a_later_version_may_know_more_and_an_earlier_less(self) -> None:
        record = json.loads(description.dumps(image()))
        record['colour'] = 'blue'
        del record['min_ram_mib']

        self.assertEqual(image(), description.loads(json.dumps(record)))

    def test_what_describes_no_image_is_an_error(self) -> None:
        record = json.loads(description.dumps(image()))

        changes: tuple[dict[str, object], ...] = (
            {'size_bytes': '1'}, {'size_bytes': True}, {'size_bytes': None},
            {'name': 3}, {'properties': []}, {'properties': {'a': 1}})
        for change in changes:
            self.assertRaises(ValueError, description.loads,
                              json.dumps({**record, **change}))
        for text in ('', '[]', '{}', 'null'):
            self.assertRaises(ValueError, description.loads, text)

    def test_names_may_be_any_text_that_can_be_printed(self) -> None:
        for name in ('', '../../etc/passwd', 'a/b', '%s {0} $(x) "<&>',
                     'Stra\N{LATIN SMALL LETTER SHARP S}e', 'x' * 255):
            description.check(image(name=name))

    def test_names_that_mislead_are_refused(self) -> None:
        for name in ('a\nb', 'a\0', '\x1b[2J', 'x' * 256, ID,
                     'a\N{RIGHT-TO-LEFT OVERRIDE}b'):
            self.assertRaises(
                exception.InvalidRequest, description.check,
                image(name=name))

    def test_other_fields_that_cannot_be_are_refused(self) -> None:
        for change in ({'id': '../x'}, {'id': ID + '\n'}, {'id': ''},
                       {'id': ID.replace('1', 'A')}, {'disk_format': ''},
                       {'disk_format': 'qed'}, {'min_disk_gib': -1},
                       {'min_ram_mib': -1}, {'properties': {'': 'x'}},
                       {'properties': {'a': 'b\n'}}):
            self.assertRaises(
                exception.InvalidRequest, description.check,
                image(**change))
