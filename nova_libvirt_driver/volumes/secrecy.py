# SPDX-License-Identifier: Apache-2.0

"""Keys and passwords in what a volume service says of the way to a volume.

Protocols have them under names of their own, and those of file systems in the
options of the mount, or in the name of what is mounted.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import re
from typing import Any

_WORDS = ('pass', 'secret', 'token', 'key', 'credential', 'dhchap', 'psk')
_PLAIN = ('_id', '_method', '_size', '_type', '_uuid')
"""Ends of names that have such a word in them, and are no secrets."""

_OPTIONS = re.compile(
    r'\b((?:pass\w*|secret\w*|token|key)=|user(?:name)?=[^\s,%]*%)([^\s,]+)',
    re.IGNORECASE)
_VZSTORAGE = re.compile(r'((?:\S+:/)?[^:/]+:)(\S+)')
"""A share of Virtuozzo Storage: ``[servers:/]cluster:password``."""

_MASK = '***'


def without(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return connection information without keys and passwords."""
    found: dict[str, Any] = _without(info)
    data = found.get('data')
    if info.get('driver_volume_type') == 'vzstorage' and (
            isinstance(data, dict) and 'export' in data):
        data['export'] = _VZSTORAGE.sub(rf'\1{_MASK}', str(data['export']))
    return found


def masked(text: str, info: Mapping[str, Any]) -> str:
    """Return a text in which no key or password of a volume is."""
    text = _OPTIONS.sub(rf'\1{_MASK}', text)
    for value in sorted(_secrets(info), key=len, reverse=True):
        text = text.replace(value, _MASK)
    if info.get('driver_volume_type') == 'vzstorage':
        found = _VZSTORAGE.fullmatch(str(info['data'].get('export') or ''))
        text = text.replace(found[2], _MASK) if found else text
    return text


def _without(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without(one) for name, one in value.items()
                if not _is_secret(name)}
    if isinstance(value, (list, tuple)):
        return [_without(one) for one in value]
    return (_OPTIONS.sub(rf'\1{_MASK}', value) if isinstance(value, str)
            else value)


def _secrets(value: Any, *, named: bool = False) -> Iterator[str]:
    """Yield what is called a secret, and what is in options."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _secrets(one, named=named or _is_secret(name))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _secrets(one, named=named)
    elif isinstance(value, str) and value:
        if named:
            yield value
        yield from (found[2] for found in _OPTIONS.finditer(value))


def _is_secret(name: str) -> bool:
    name = name.lower()
    return not name.endswith(_PLAIN) and any(
        word in name for word in _WORDS)
