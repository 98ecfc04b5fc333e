# SPDX-License-Identifier: Apache-2.0

"""A compute driver for libvirt.

``LibvirtDriver`` is the driver, with values of this package's own. Under Nova
there is ``NovaLibvirtDriver`` in front of it, which speaks Nova's language
(``nova_plugin/driver.py``). Nova's option ``compute_driver`` has the same
``nova_libvirt_driver.LibvirtDriver`` as a service without Nova; that it leads
nova-compute to the other class is the work of ``nova_libvirt_driver_hook``.

The package imports nothing until something of it is asked for, so that a
compute service may name its class while the command line starts without it.
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
