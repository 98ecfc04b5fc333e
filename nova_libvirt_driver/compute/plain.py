# SPDX-License-Identifier: Apache-2.0

"""Turns this package's values into plain JSON types."""

import dataclasses
import enum
from typing import Any

from nova_libvirt_driver.spec import instance as instance_spec


def plain(value: object) -> Any:
    """Return the value as plain JSON types.

    A dataclass becomes an object with the names of its fields, a power
    state its name in small letters, any other enumeration its value, a set
    a sorted list.
    """
    if isinstance(value, instance_spec.PowerState):
        return value.name.lower()
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name))
                for field in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(plain(item) for item in value)
    return value
