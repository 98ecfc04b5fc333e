# SPDX-License-Identifier: Apache-2.0

"""Checks that several facets make of a request, and of its texts."""

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import functools
import re
from typing import Any

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception

# What XML 1.0 cannot hold, not even escaped.
_IMPOSSIBLE = re.compile(
    '[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')

_CONTROL = re.compile('[\0-\x1f\x7f-\x9f\u2028\u2029]')

_IMMATERIAL = ('metadata', 'storage', 'config_drive')
"""Fields of a guest that are texts for people, or no part of the XML."""
_TEXTLESS = frozenset({type(None), bool, int})


def clean(text: str) -> str:
    """Return a text without the characters that XML cannot hold.

    All others stay; what has a meaning in XML is escaped when written.
    """
    return _IMPOSSIBLE.sub('', text)


def is_plain(text: str) -> bool:
    """Say whether a text is one line that XML can hold."""
    # Nearly every text is printable, and what is has none of these.
    return text.isprintable() or not (
        _IMPOSSIBLE.search(text) or _CONTROL.search(text))


def plain_texts(inputs: inputs_module.Inputs) -> None:
    """Refuse control characters wherever libvirt sees an identifier.

    :raises InvalidRequest: there is one
    """
    kind: Any = type(inputs.spec)
    fields = {name: getattr(inputs.spec, name)
              for name in _field_names(kind)
              if name not in _IMMATERIAL}
    fields['disks'] = inputs.disks
    fields['console_log'] = inputs.console_log
    for name, text in _texts(fields):
        if not is_plain(text):
            raise exception.InvalidRequest(
                reason=f'{name} {text!r} holds characters that have no '
                'place there')


def path(what: str, value: str) -> None:
    """Refuse a path that is not absolute.

    :raises InvalidRequest: it is empty or relative
    """
    if not value.startswith('/'):
        raise exception.InvalidRequest(
            reason=f'the path of {what} is {value!r}, and must be absolute')


def uuid_of_secret(what: str, value: str) -> None:
    """Refuse what cannot be the uuid of a secret.

    :raises InvalidRequest: it has another form
    """
    if not re.fullmatch(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', value):
        raise exception.InvalidRequest(
            reason=f'the secret of {what} must be named by its uuid')


def distinct(what: str, values: Iterable[object]) -> None:
    """Refuse a value that comes twice.

    :raises InvalidRequest: one does
    """
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise exception.InvalidRequest(
                reason=f'{what} {value} is there twice')
        seen.add(value)


def supported(what: str, value: str, offered: Collection[str]) -> None:
    """Refuse what the host does not offer.

    :param offered: what libvirt offers; empty when it did not say
    :raises UnsupportedOperation: it offers others only
    """
    if offered and value not in offered:
        raise exception.UnsupportedOperation(
            tried=f'give a guest the {what} {value}',
            reason=f'this host has {", ".join(sorted(offered))}')


def _texts(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield every text of some values with the name of its field."""
    # Many small values for each guest, hence no recursion.
    waiting: list[tuple[str, object]] = list(fields.items())
    while waiting:
        name, value = waiting.pop()
        kind: Any = type(value)
        if kind is str:
            yield name, str(value)
        elif kind in _TEXTLESS:
            continue
        elif isinstance(value, tuple):
            waiting += [(name, item) for item in value]
        else:
            waiting += [(f'{name}.{field}', getattr(value, field))
                        for field in _field_names(kind)]


@functools.cache
def _field_names(kind: Any) -> tuple[str, ...]:
    if not dataclasses.is_dataclass(kind):
        return ()
    return tuple(field.name for field in dataclasses.fields(kind))
