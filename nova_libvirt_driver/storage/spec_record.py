# SPDX-License-Identifier: Apache-2.0

"""The record of what an instance was made from, beside its disks.

For a service that keeps no database: every verb that makes the domain anew
reads it. A password that was only for the first boot is not in it.
"""

import dataclasses
import functools
import json
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.storage import atomic

if typing.TYPE_CHECKING:
    import cattrs

_VERSION = 1


def write(path: str, spec: guest_spec.GuestSpec) -> None:
    """Write the record, or leave the one that was there.

    :raises StorageFailure: it cannot be written
    """
    atomic.write(path, dumps(spec).encode())


def read(path: str) -> guest_spec.GuestSpec:
    """Read a record.

    :raises FileNotFoundError: there is none
    :raises StorageFailure: it is damaged, or cannot be read
    """
    try:
        with open(path, encoding='utf-8') as file:
            return loads(file.read())
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise exception.StorageFailure(
            reason=f'the record {path} cannot be read: {error}',
            path=path) from error


def dumps(spec: guest_spec.GuestSpec) -> str:
    """Return the text of a record."""
    if spec.config_drive is not None:
        # A drive that came ready-made may tell the password as well.
        spec = dataclasses.replace(spec, config_drive=dataclasses.replace(
            spec.config_drive, admin_password='', prebuilt={}))
    return json.dumps({'version': _VERSION,
                       'guest': _converter().unstructure(spec)}, indent=1)


def loads(text: str) -> guest_spec.GuestSpec:
    """Read the text of a record; what it lacks takes its default.

    :raises ValueError: it is no record
    """
    import cattrs

    record = json.loads(text)
    if not isinstance(record, dict) or not isinstance(
            record.get('guest'), dict):
        raise ValueError('it is no record of a guest')
    try:
        return _converter().structure(record['guest'], guest_spec.GuestSpec)
    except cattrs.BaseValidationError as error:
        raise ValueError(
            '; '.join(cattrs.transform_error(error))) from error


@functools.cache
def _converter() -> 'cattrs.Converter':
    # Imported when it is needed: most commands never do.
    import cattrs

    made = cattrs.Converter(unstruct_collection_overrides={
        frozenset: sorted, tuple: list})
    for kind in (bool, int, str):
        made.register_structure_hook(kind, _scalar)
    return made


def _scalar(value: object, kind: type) -> object:
    """Return a value as it is, or make a member of an enumeration of it.

    Left alone, the library takes any text for True and makes a text of
    anything.
    """
    if kind not in (bool, int, str):
        return kind(value)
    if type(value) is not kind:
        raise ValueError(f'{value!r} is not of the type {kind.__name__}')
    return value
