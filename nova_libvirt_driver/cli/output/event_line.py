# SPDX-License-Identifier: Apache-2.0

"""One event as one line of text.

Pure: what it needs is in the event, and the choice of time zone.
"""

from collections.abc import Callable
import datetime
import json

from nova_libvirt_driver.spec import event as event_spec

_ROW = '{:<29}  {:<19}  {:<20}  {:<36}  {}'

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


def heading() -> str:
    """Return the first line of the format table."""
    return _ROW.format('TIME', 'EVENT', 'SERVER', 'UUID', 'DETAIL')


def _table(shown: Fields) -> str:
    detail = str(shown['detail'])
    if shown['synthesized']:
        detail = f'{detail} (synthesized)'.strip()
    return _ROW.format(shown['timestamp'], shown['event'], shown['server'],
                       shown['uuid'], detail).rstrip()


def _value(shown: Fields) -> str:
    return '\t'.join(
        str(value).lower() if isinstance(value, bool) else value
        for value in shown.values())


FORMATS: dict[str, Callable[[Fields], str]] = {
    'json': json.dumps, 'table': _table, 'value': _value}
"""Makes a line, without its end, of the fields of an event."""
