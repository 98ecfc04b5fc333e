# SPDX-License-Identifier: Apache-2.0

"""A guest as a document in YAML: ``server create --spec`` and ``show``.

Its keys are the fields of :class:`~nova_libvirt_driver.spec.guest.GuestSpec`.
What has its default is not printed, and need not be given. What identifies one
guest, as its uuid, is not in it.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import difflib
import enum
import re
import types
import typing
from typing import Any

import yaml

from nova_libvirt_driver import building
from nova_libvirt_driver.cli.commands.server import injection
from nova_libvirt_driver.cli.commands.server import nics
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import guest as guest_spec

KEY = 'spec'

_MAX_BYTES = 16 << 20
_GIVEN_BY_THE_COMMAND = ('uuid', 'name', 'metadata')
_FLAVOR = 'flavor'
_NO_SECRETS = ('admin_password', 'prebuilt', 'hostname')
_MIB_PER_GIB = 1024


class _Loader(yaml.SafeLoader):
    """Takes for a number what looks like one to people, too.

    YAML 1.1 reads an address of a card as a number to the base of 60, and
    "no" as false.
    """

    yaml_implicit_resolvers: dict[str, list[Any]] = {}


_Loader.add_implicit_resolver(
    'tag:yaml.org,2002:bool', re.compile('(true|false)$'), list('tf'))
_Loader.add_implicit_resolver(
    'tag:yaml.org,2002:null', re.compile('(null|~|)$'), ['n', '~', ''])
_Loader.add_implicit_resolver(
    'tag:yaml.org,2002:int', re.compile('-?(0|[1-9][0-9]*)$'),
    list('-0123456789'))


def read(path: str) -> dict[str, Any]:
    """Return the document of a file; one that ``show`` has printed, too.

    :raises UsageError: it cannot be read, or is not the document of a
        server
    """
    try:
        text = records.read(path, max_bytes=_MAX_BYTES, follow=True)
        found = yaml.load(text, _Loader)  # nosec: it makes plain values
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise errors.UsageError(
            f'{path} cannot be read: {_reason(error)}',
            'give a file such as nova-libvirt server show NAME -f yaml '
            'prints') from error
    if isinstance(found, dict) and KEY in found:
        found = found[KEY]
    if not isinstance(found, dict):
        raise errors.UsageError(
            f'{path} does not describe a server',
            'give a file such as nova-libvirt server show NAME -f yaml '
            'prints')
    return found


def guest(name: str, found: Mapping[str, Any]) -> guest_spec.GuestSpec:
    """Return the new guest that a document describes.

    :raises UsageError: it describes none; names the key, and what is legal
    """
    values = dict(found)
    flavor_name = _value(str, values.pop(_FLAVOR, ''), _FLAVOR)
    for number, nic in enumerate(_items(values.get('nics'))):
        if isinstance(nic, dict) and 'mac' not in nic:
            values['nics'][number] = {**nic, 'mac': nics.new_mac()}
    drive = values.get('config_drive')
    if isinstance(drive, dict):
        values['config_drive'] = {
            'hostname': injection.host_name(name), **drive}
    parts = _fields(guest_spec.GuestSpec, values, '',
                    left_out=_GIVEN_BY_THE_COMMAND)
    cpu, memory, storage = parts['cpu'], parts['memory'], parts.get('storage')
    ephemerals = sum(
        disk.size_mib for disk in storage.ephemerals) if storage else 0
    root_gib = storage.root_gib if storage else 0
    flavor = flavor_spec.Flavor(
        name=flavor_name or f'custom-{cpu.vcpus}-{memory.size_mib}-{root_gib}',
        vcpus=cpu.vcpus, memory_mib=memory.size_mib, root_gib=root_gib,
        ephemeral_gib=ephemerals // _MIB_PER_GIB,
        swap_mib=(storage.swap.size_mib
                  if storage and storage.swap else 0))
    return building.guest(
        name, flavor=flavor, image_id=storage.image_id if storage else '',
        **parts)


def of(spec: guest_spec.GuestSpec) -> dict[str, Any]:
    """Return the document that describes a guest."""
    boot = spec.boot
    if boot.kernel_image_id:
        # These are files in its folder, from those images.
        boot = dataclasses.replace(boot, kernel=None)
    made = _plain(dataclasses.replace(spec, boot=boot))
    for name in _GIVEN_BY_THE_COMMAND:
        del made[name]
    for name in _NO_SECRETS:
        made.get('config_drive', {}).pop(name, None)
    return {_FLAVOR: spec.metadata.flavor.name, **made}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(own) for field in dataclasses.fields(value)
                if (own := getattr(value, field.name)) != _default(field)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, frozenset):
        return sorted(map(_plain, value))
    if isinstance(value, Mapping):
        return {name: _plain(own) for name, own in value.items()}
    if isinstance(value, tuple):
        return list(map(_plain, value))
    return value


def _default(field: 'dataclasses.Field[Any]') -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _fields(
        kind: type, found: Any, where: str, *,
        left_out: Iterable[str] = ()) -> dict[str, Any]:
    """Return what a dataclass is made from.

    :param where: the key of the value, empty for the document itself
    """
    if not isinstance(found, dict):
        raise _wrong(where, f'{_shown(found)} is not an object with keys')
    kinds = typing.get_type_hints(kind)
    known = [field for field in dataclasses.fields(kind)
             if field.name not in left_out]
    names = [field.name for field in known]
    legal = names if where else [_FLAVOR, *names]
    for key in found:
        if key not in names:
            close = difflib.get_close_matches(str(key), legal, n=1)
            raise _wrong(
                _below(where, key), 'there is no such key',
                f'did you mean {close[0]}? ' if close else '', legal)
    for field in known:
        if field.name not in found and _default(field) is (
                dataclasses.MISSING):
            raise _wrong(_below(where, field.name), 'it is missing')
    return {name: _value(kinds[name], value, _below(where, name))
            for name, value in found.items()}


def _value(kind: Any, found: Any, where: str) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if found is None:
            return None
        kind, = (each for each in inner if each is not types.NoneType)
        return _value(kind, found, where)
    if origin in (tuple, frozenset):
        if not isinstance(found, list):
            raise _wrong(where, f'{_shown(found)} is not a list')
        return origin(_value(inner[0], each, f'{where}[{number}]')
                      for number, each in enumerate(found))
    if origin is not None:
        if not isinstance(found, dict):
            raise _wrong(where, f'{_shown(found)} is not an object with keys')
        return {_value(str, name, where): _value(
            inner[1], each, _below(where, name))
            for name, each in found.items()}
    if dataclasses.is_dataclass(kind):
        return typing.cast(type, kind)(
            **_fields(typing.cast(type, kind), found, where))
    return _scalar(kind, found, where)


def _scalar(kind: type, found: Any, where: str) -> Any:
    if issubclass(kind, enum.Enum):
        legal = [str(each.value) for each in kind]
        if found not in legal:
            raise _wrong(where, f'{_shown(found)} is not legal', '', legal)
        return kind(found)
    if kind is int and (type(found) is not int or found < 0):
        raise _wrong(where, f'{_shown(found)} is not a number of 0 or more')
    if type(found) is not kind:
        words = {bool: 'neither true nor false',
                 str: 'not a text; put it into quotes'}
        raise _wrong(where, f'{_shown(found)} is {words[kind]}')
    return found


def _wrong(
        where: str, what: str, hint: str = '',
        legal: Iterable[str] = ()) -> errors.UsageError:
    words = ', '.join(word or "''" for word in legal)
    return errors.UsageError(
        f'--spec: {where or "the document"}: {what}',
        f'{hint}legal: {words}' if words
        else 'see guest-spec-schema.json in the manual')


def _below(where: str, key: Any) -> str:
    return f'{where}.{key}' if where else str(key)


def _items(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _shown(found: Any) -> str:
    return repr(found)[:40]


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return (f'line {error.problem_mark.line + 1}: '
                f'{error.problem or error.context}')
    return getattr(error, 'strerror', None) or str(error)
