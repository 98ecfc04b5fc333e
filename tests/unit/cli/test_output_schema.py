# SPDX-License-Identifier: Apache-2.0

"""The manual says of every command what its JSON looks like."""

from cliff import display
import jsonschema

from nova_libvirt_driver.cli.commands import events
from nova_libvirt_driver.cli import table
from tests import base
from tests import output_schema


def printing() -> set[str]:
    """Return the commands that print JSON."""
    return {name for name, place in iter(table.CommandTable())
            if issubclass(place.load(), (display.DisplayCommandBase,
                                         events.Events))}


class OutputSchemaTest(base.TestCase):

    def test_it_has_all_commands_that_print_objects(self) -> None:
        self.assertEqual(
            printing(), set(output_schema.document()['commands']))

    def test_what_is_not_promised_is_found(self) -> None:
        good = {'ID': 'x', 'MAC': '', 'Network': '', 'Model': '',
                'Device': ''}
        words = ('port', 'list', 'web1')

        output_schema.check(words, [good])

        wrong: list[object] = [
            [{**good, 'New': 1}], [{**good, 'ID': None}], {}, ['x']]
        for bad in wrong:
            with self.subTest(bad=bad):
                self.assertRaises(
                    jsonschema.ValidationError, output_schema.check, words,
                    bad)
