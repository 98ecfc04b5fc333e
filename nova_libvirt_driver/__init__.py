# SPDX-License-Identifier: Apache-2.0

"""A compute driver for libvirt.

The package imports nothing until something of it is asked for, so that a
compute service may name ``nova_libvirt_driver.LibvirtDriver`` in its
configuration while the command line starts without it.
"""

# Not from typing: every start of Python imports this module where the
# package is installed, see nova_plugin/loading.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from nova_libvirt_driver.driver import LibvirtDriver

__all__ = ['LibvirtDriver']


def __getattr__(name: str) -> object:
    if name == 'LibvirtDriver':
        import importlib
        module = importlib.import_module('nova_libvirt_driver.driver')
        return module.LibvirtDriver
    raise AttributeError(
        f'module {__name__!r} has no attribute {name!r}')
