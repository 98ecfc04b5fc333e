# SPDX-License-Identifier: Apache-2.0

"""Fills elements of the model with values."""

from typing import Any
from typing import TypeVar

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields

E = TypeVar('E', bound=element.Element)

UUID = '11111111-2222-4333-8444-555555555555'


def put(one: E, **values: Any) -> E:
    """Set fields of an element and return it.

    :raises KeyError: it has no such field
    """
    known = fields.declared(type(one))
    for name, value in values.items():
        if name not in known:
            raise KeyError(f'{type(one).__name__}.{name}')
        setattr(one, name, value)
    return one
