# SPDX-License-Identifier: Apache-2.0

"""Events as lines."""

import csv
import json

import yaml

from nova_libvirt_driver.cli.output import event_line
from nova_libvirt_driver.spec import event
from tests import base

_UUID = '6695eb01-f6a4-8304-79aa-97f2502e193f'


def _line(kind: str, **changes: object) -> str:
    settings: dict[str, object] = {
        'uuid': _UUID, 'name': 'web1', 'generation': 1,
        'timestamp': 1700000000.25,
        'transition': event.Transition.STARTED, 'detail': 'booted'}
    made = event.LifecycleEvent(**{**settings, **changes})  # type: ignore
    return event_line.FORMATS[kind](event_line.fields(made, utc=True))


class EventLineTest(base.TestCase):

    def test_table_fits_below_its_heading(self) -> None:
        heading = event_line.heading('table')
        line = _line('table')

        self.assertEqual(
            '2023-11-14 22:13:20  started       web1              6695eb01'
            '  booted', line)
        self.assertEqual(heading.index('UUID'), line.index('6695eb01'))

    def test_table_shows_no_control_characters(self) -> None:
        self.assertNotIn('\x1b', _line('table', name='a\x1b[2Jb'))

    def test_csv_has_the_columns_of_its_heading(self) -> None:
        row, = csv.DictReader([event_line.heading('csv'),
                               _line('csv', name='a, "b"')])

        self.assertEqual(
            ('a, "b"', 'started', 'false'),
            (row['server'], row['event'], row['synthesized']))

    def test_yaml_is_one_list(self) -> None:
        text = '\n'.join((_line('yaml'), _line('yaml', name='é: -')))

        self.assertEqual(['web1', 'é: -'], [
            row['server'] for row in yaml.safe_load(text)])

    def test_table_marks_what_was_inferred(self) -> None:
        self.assertTrue(_line('table', synthesized=True).endswith(
            'booted (synthesized)'))

    def test_json_is_one_object_with_all_fields(self) -> None:
        line = _line('json', name='two\nlines')

        self.assertNotIn('\n', line)
        self.assertEqual({
            'timestamp': '2023-11-14T22:13:20.250+00:00',
            'server': 'two\nlines', 'uuid': _UUID, 'event': 'started',
            'detail': 'booted', 'synthesized': False}, json.loads(line))

    def test_value_has_tabs_between_the_fields(self) -> None:
        self.assertEqual(
            ['2023-11-14T22:13:20.250+00:00', 'web1', _UUID, 'started', '',
             'true'],
            _line('value', detail='', synthesized=True).split('\t'))

    def test_local_time_says_its_offset(self) -> None:
        made = event.LifecycleEvent(
            uuid=_UUID, name='a', generation=1, timestamp=0.0,
            transition=event.Transition.STOPPED)

        shown = str(event_line.fields(made, utc=False)['timestamp'])

        self.assertRegex(shown, r'T\d\d:\d\d:00\.000[+-]\d\d:\d\d$')
