# SPDX-License-Identifier: Apache-2.0

"""A compute driver for libvirt.

The package imports nothing until something of it is asked for, so that a
compute service may name ``nova_libvirt_driver.LibvirtDriver`` in its
configuration while the command line starts without it.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nova_libvirt_driver.driver import LibvirtDriver

__all__ = ['LibvirtDriver']


def __getattr__(name: str) -> object:
    if name == 'LibvirtDriver':
        module = importlib.import_module('nova_libvirt_driver.driver')
        return module.LibvirtDriver
    raise AttributeError(
        f'module {__name__!r} has no attribute {name!r}')
