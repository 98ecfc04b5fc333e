# SPDX-License-Identifier: Apache-2.0

"""One event as one line of text.

Pure: what it needs is in the event, and the choice of time zone.
"""

from collections.abc import Callable
from collections.abc import Iterable
import csv
import datetime
import io
import json

from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver.spec import event as event_spec

_ROW = '{:<19}  {:<12}  {:<16}  {:<8}  {}'
_TO_THE_SECOND = 19
_SHORT_ID = 8

Fields = dict[str, str | bool]


def fields(event: event_spec.LifecycleEvent, *, utc: bool) -> Fields:
    """Return what is shown of an event, in the order of the columns.

    :param utc: show the time in UTC instead of the local zone
    """
    when = datetime.datetime.fromtimestamp(event.timestamp, datetime.UTC)
    if not utc:
        when = when.astimezone()
    return {'timestamp': when.isoformat(timespec='milliseconds'),
            'server': event.name, 'uuid': event.uuid,
            'event': event.transition.value, 'detail': event.detail,
            'synthesized': event.synthesized}


def heading(kind: str) -> str:
    """Return the first line of a format, empty if it has none."""
    return _HEADINGS.get(kind, '')


def _table(shown: Fields) -> str:
    detail = str(shown['detail'])
    if shown['synthesized']:
        detail = f'{detail} (synthesized)'.strip()
    when = str(shown['timestamp'])[:_TO_THE_SECOND].replace('T', ' ')
    return terminal.plain(_ROW.format(
        when, shown['event'], shown['server'],
        str(shown['uuid'])[:_SHORT_ID], detail).rstrip())


def _texts(shown: Fields) -> list[str]:
    return [str(value).lower() if isinstance(value, bool) else value
            for value in shown.values()]


def _value(shown: Fields) -> str:
    return '\t'.join(_texts(shown))


def _csv(shown: Fields) -> str:
    return _csv_line(_texts(shown))


def _csv_line(texts: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator='').writerow(texts)
    return line.getvalue()


def _yaml(shown: Fields) -> str:
    # An item of a list, which grows; JSON is YAML, too.
    return f'- {json.dumps(shown)}'


_HEADINGS = {
    'table': _ROW.format('TIME', 'EVENT', 'SERVER', 'UUID', 'DETAIL'),
    'csv': _csv_line(('timestamp', 'server', 'uuid', 'event', 'detail',
                      'synthesized'))}

FORMATS: dict[str, Callable[[Fields], str]] = {
    'csv': _csv, 'json': json.dumps, 'table': _table, 'value': _value,
    'yaml': _yaml}
"""Makes a line, without its end, of the fields of an event."""
